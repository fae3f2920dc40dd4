package main

import (
	"cmp"
	"maps"
	"slices"

	"github.com/google/pprof/profile"
)

// topRow is what a function spent itself and with what it called.
type topRow struct {
	Function string `json:"function"`
	Flat     int64  `json:"flat"`
	Cum      int64  `json:"cum"`
	Unit     string `json:"unit"`
}

// topFunctions merges the profiles and ranks their functions by one column,
// such as "cpu/nanoseconds"; without a name it is the last column.
func topFunctions(kept []*accepted, sampleType string) []*topRow {
	merged := mergeAll(kept)
	if merged == nil {
		return []*topRow{}
	}
	column := len(merged.SampleType) - 1
	if sampleType != "" {
		column = slices.Index(sampleTypes(merged), sampleType)
	}
	if column < 0 {
		return []*topRow{}
	}
	rows := rank(merged, column)
	sorted := slices.SortedFunc(maps.Values(rows), func(a, b *topRow) int {
		return cmp.Or(cmp.Compare(b.Flat, a.Flat), cmp.Compare(b.Cum, a.Cum), cmp.Compare(a.Function, b.Function))
	})
	return append([]*topRow{}, sorted...) // [] and not null
}

func rank(p *profile.Profile, column int) map[string]*topRow {
	rows := map[string]*topRow{}
	for _, sample := range p.Sample {
		counted := map[string]bool{} // a recursive function counts once in cum
		for i, name := range functions(sample) {
			row, ok := rows[name]
			if !ok {
				row = &topRow{Function: name, Unit: p.SampleType[column].Unit}
				rows[name] = row
			}
			if i == 0 {
				row.Flat += sample.Value[column]
			}
			if !counted[name] {
				row.Cum += sample.Value[column]
				counted[name] = true
			}
		}
	}
	return rows
}

// functions lists the frames of a sample, leaf first, inlined ones included.
func functions(sample *profile.Sample) []string {
	var names []string
	for _, location := range sample.Location {
		for _, line := range location.Line {
			if line.Function != nil {
				names = append(names, line.Function.Name)
			}
		}
	}
	return names
}

// mergeAll merges what fits; nil if there is nothing. One profile that does not
// fit the others (other columns) is left out, which needs merging one by one.
func mergeAll(kept []*accepted) *profile.Profile {
	var profiles []*profile.Profile
	for _, a := range kept {
		if p, err := a.parse(); err == nil {
			profiles = append(profiles, p)
		}
	}
	if len(profiles) == 0 {
		return nil
	}
	if merged, err := profile.Merge(profiles); err == nil {
		return merged
	}
	merged := profiles[0]
	for _, p := range profiles[1:] {
		if next, err := profile.Merge([]*profile.Profile{merged, p}); err == nil {
			merged = next
		}
	}
	return merged
}

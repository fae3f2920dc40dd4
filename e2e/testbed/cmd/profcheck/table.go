package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// subtracted are the columns that count since the start of the process; all
// others, such as inuse_space, are the state of the moment.
var subtracted = map[string]bool{
	"alloc_objects/count": true,
	"alloc_space/bytes":   true,
	"contentions/count":   true,
	"delay/nanoseconds":   true,
}

// key identifies a sample across profiles of one process: the addresses of its
// stack and its labels. Location ids mean something in one profile only.
type key string

// table is a profile as rows by key. Samples with equal keys are one row.
type table struct {
	profile *profile.Profile
	columns []string
	values  map[key][]int64
	stacks  map[key]map[string]bool // the symbolised stacks seen with a key
	samples map[key]int
}

func newTable(p *profile.Profile) *table {
	t := &table{
		profile: p,
		columns: columnNames(p),
		values:  map[key][]int64{},
		stacks:  map[key]map[string]bool{},
		samples: map[key]int{},
	}
	for _, s := range p.Sample {
		k := keyOf(s)
		if t.values[k] == nil {
			t.values[k] = make([]int64, len(t.columns))
			t.stacks[k] = map[string]bool{}
		}
		for i, v := range s.Value {
			t.values[k][i] += v
		}
		t.stacks[k][stackOf(s)] = true
		t.samples[k]++
	}
	return t
}

// at returns a value; a key that is absent has zeros.
func (t *table) at(k key, column int) int64 {
	if row, ok := t.values[k]; ok {
		return row[column]
	}
	return 0
}

func columnNames(p *profile.Profile) []string {
	names := make([]string, len(p.SampleType))
	for i, t := range p.SampleType {
		names[i] = t.Type + "/" + t.Unit
	}
	return names
}

// keysOf lists every key of the tables, sorted, so that reports do not vary.
func keysOf(tables ...*table) []key {
	all := map[key]bool{}
	for _, t := range tables {
		for k := range t.values {
			all[k] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func keyOf(s *profile.Sample) key {
	var b strings.Builder
	for _, location := range s.Location {
		fmt.Fprintf(&b, "%x ", location.Address)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Label)) {
		fmt.Fprintf(&b, "%q=%q ", name, slices.Sorted(slices.Values(s.Label[name])))
	}
	for _, name := range slices.Sorted(maps.Keys(s.NumLabel)) {
		fmt.Fprintf(&b, "%q=%s ", name, numbersOf(s, name))
	}
	return key(b.String())
}

// numbersOf writes the values of a numeric label with their units, sorted.
func numbersOf(s *profile.Sample, name string) []string {
	units := s.NumUnit[name]
	texts := make([]string, len(s.NumLabel[name]))
	for i, n := range s.NumLabel[name] {
		unit := ""
		if i < len(units) {
			unit = units[i]
		}
		texts[i] = fmt.Sprintf("%d%q", n, unit)
	}
	slices.Sort(texts)
	return texts
}

// stackOf writes what the addresses of a sample stand for.
func stackOf(s *profile.Sample) string {
	var b strings.Builder
	for _, location := range s.Location {
		for _, line := range location.Line {
			if f := line.Function; f != nil {
				fmt.Fprintf(&b, "%s|%s %s:%d+%d;", f.Name, f.SystemName, f.Filename, line.Line, f.StartLine)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

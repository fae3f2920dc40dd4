package main

import (
	"cmp"
	"maps"
	"slices"
)

// summaryRow adds up the kept profiles of one service and profile name.
type summaryRow struct {
	ServiceName string `json:"service_name"`
	Name        string `json:"name"`
	Profiles    int    `json:"profiles"`
	Samples     int    `json:"samples"`
	Bytes       int    `json:"bytes"`
}

func summarize(kept []*accepted) []*summaryRow {
	rows := map[[2]string]*summaryRow{}
	for _, a := range kept {
		key := [2]string{a.Labels[serviceLabel], a.Labels[nameLabel]}
		row, ok := rows[key]
		if !ok {
			row = &summaryRow{ServiceName: key[0], Name: key[1]}
			rows[key] = row
		}
		row.Profiles++
		row.Samples += a.Samples
		row.Bytes += a.Bytes
	}
	sorted := slices.SortedFunc(maps.Values(rows), func(a, b *summaryRow) int {
		return cmp.Or(cmp.Compare(a.ServiceName, b.ServiceName), cmp.Compare(a.Name, b.Name))
	})
	return append([]*summaryRow{}, sorted...) // [] and not null
}

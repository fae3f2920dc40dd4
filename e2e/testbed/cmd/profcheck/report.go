package main

import "fmt"

// maxMismatches is how many are spelled out; all are counted.
const maxMismatches = 10

// report is the answer of profcheck. Keys counts the different samples that
// were compared, Sums adds up the received differences of a column.
type report struct {
	OK            bool             `json:"ok"`
	Recorded      int              `json:"recorded"`
	Received      int              `json:"received"`
	Keys          int              `json:"keys"`
	Sums          map[string]int64 `json:"sums"`
	Lives         []lifeReport     `json:"lives"`
	MismatchCount int              `json:"mismatchCount"`
	Mismatches    []string         `json:"mismatches"`
}

// lifeReport is about one process. Empty counts recorded profiles that were
// rightly not sent, because nothing had changed.
type lifeReport struct {
	Dir      string `json:"dir"`
	Recorded int    `json:"recorded"`
	Received int    `json:"received"`
	Empty    int    `json:"empty"`
}

func newReport() *report {
	return &report{Sums: map[string]int64{}, Lives: []lifeReport{}, Mismatches: []string{}}
}

func (r *report) mismatch(format string, args ...any) {
	r.MismatchCount++
	if len(r.Mismatches) < maxMismatches {
		r.Mismatches = append(r.Mismatches, fmt.Sprintf(format, args...))
	}
}

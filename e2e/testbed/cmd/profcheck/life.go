package main

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"

	"github.com/google/pprof/profile"

	"pyroscope-operator.dev/e2e/testbed/internal/recording"
)

// life is what one process served at one path, by time; the first profile is
// the baseline that the operator does not send.
type life struct {
	dir      string
	recorded []*table
}

// readLife leaves out requests with seconds=: Go answers these with a
// difference of its own.
func readLife(dir, path string) (*life, error) {
	lines, err := recording.ReadIndex(dir)
	if err != nil {
		return nil, err
	}
	l := &life{dir: dir}
	for _, line := range lines {
		query, err := url.ParseQuery(line.Query)
		if err != nil || line.Path != path || query.Has("seconds") {
			continue
		}
		body, err := recording.ReadBody(dir, line)
		if err != nil {
			return nil, err
		}
		p, err := profile.ParseData(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line.File, err)
		}
		l.recorded = append(l.recorded, newTable(p))
	}
	slices.SortFunc(l.recorded, func(a, b *table) int {
		return cmp.Compare(a.profile.TimeNanos, b.profile.TimeNanos)
	})
	return l, nil
}

// indexOf returns which recorded profile has this time.
func (l *life) indexOf(timeNanos int64) (int, bool) {
	return slices.BinarySearchFunc(l.recorded, timeNanos, func(t *table, timeNanos int64) int {
		return cmp.Compare(t.profile.TimeNanos, timeNanos)
	})
}

// nothingToSend says whether the difference of recorded profile i to the one
// before it has no value that is not zero: then its absence is right.
func (l *life) nothingToSend(i int) bool {
	now, before := l.recorded[i], l.recorded[i-1]
	for _, k := range keysOf(now, before) {
		for column, name := range now.columns {
			value := now.at(k, column)
			if subtracted[name] {
				value -= before.at(k, column)
			}
			if value != 0 {
				return false
			}
		}
	}
	return true
}

package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/pprof/profile"
)

// compare checks the received profiles against the recorded ones, each process
// life by itself, and that there was something to check.
func compare(lives []*life, all []received, minReceived int) *report {
	r := newReport()
	r.Received = len(all)
	parts := partition(r, lives, all)
	for i, l := range lives {
		r.Recorded += len(l.recorded)
		compareLife(r, l, parts[i])
	}
	if r.Received < minReceived {
		r.mismatch("nothing proven: %d profiles received, at least %d needed", r.Received, minReceived)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(r.Sums)), func(sum int64) bool { return sum != 0 }) {
		r.mismatch("nothing proven: the received differences add up to zero")
	}
	r.OK = r.MismatchCount == 0
	return r
}

// partition finds the recorded profile of each received one: a difference keeps
// the time of the profile it was made from. The result has, for each life, the
// received profiles by the index of the recorded one.
func partition(r *report, lives []*life, all []received) []map[int]received {
	parts := make([]map[int]received, len(lives))
	for i := range parts {
		parts[i] = map[int]received{}
	}
	for _, got := range all {
		if got.err != nil {
			r.mismatch("received %d: invalid: %v", got.seq, got.err)
			continue
		}
		assign(r, lives, parts, got)
	}
	return parts
}

func assign(r *report, lives []*life, parts []map[int]received, got received) {
	taken := got.table.profile.TimeNanos
	for i, l := range lives {
		index, ok := l.indexOf(taken)
		if !ok {
			continue
		}
		switch earlier, twice := parts[i][index]; {
		case index == 0:
			r.mismatch("received %d: made from the first profile of %s, which is the baseline", got.seq, l.dir)
		case twice:
			r.mismatch("received %d: made from the same profile as received %d (time %d)", got.seq, earlier.seq, taken)
		default:
			parts[i][index] = got
		}
		return
	}
	r.mismatch("received %d: no recorded profile has its time %d", got.seq, taken)
}

// compareLife checks that the received differences of a process follow each
// other without a gap, that each is right, and that they add up.
func compareLife(r *report, l *life, got map[int]received) {
	summary := lifeReport{Dir: l.dir, Recorded: len(l.recorded), Received: len(got)}
	if len(got) > 0 {
		last := slices.Max(slices.Collect(maps.Keys(got)))
		for i := 1; i <= last; i++ {
			one, ok := got[i]
			switch {
			case ok:
				compareOne(r, one, l.recorded[i], l.recorded[i-1])
			case l.nothingToSend(i):
				summary.Empty++
			default:
				r.mismatch("missing: nothing received for recorded profile %d of %s (time %d)",
					i, l.dir, l.recorded[i].profile.TimeNanos)
			}
		}
		compareSums(r, l.recorded[0], l.recorded[last], got)
	}
	r.Lives = append(r.Lives, summary)
}

// compareOne checks a received profile against the recorded one it was made
// from and the one before that.
func compareOne(r *report, got received, now, before *table) {
	name := fmt.Sprintf("received %d", got.seq)
	if !compareHead(r, name, got.table, now, before) {
		return // without the same columns values mean nothing
	}
	for _, k := range keysOf(got.table, now, before) {
		compareStacks(r, name, k, got.table, now)
		for column, columnName := range now.columns {
			want := now.at(k, column)
			if subtracted[columnName] {
				want -= before.at(k, column)
			}
			value := got.table.at(k, column)
			if value != want {
				r.mismatch("%s: %s is %d, want %d, at %s", name, columnName, value, want, k)
			}
			if value < 0 {
				r.mismatch("%s: %s is negative: %d, at %s", name, columnName, value, k)
			}
		}
	}
}

func compareHead(r *report, name string, got, now, before *table) bool {
	if want := now.profile.TimeNanos - before.profile.TimeNanos; got.profile.DurationNanos != want {
		r.mismatch("%s: duration is %d, want %d", name, got.profile.DurationNanos, want)
	}
	if g, w := periodOf(got.profile), periodOf(now.profile); g != w {
		r.mismatch("%s: period is %s, want %s", name, g, w)
	}
	if !slices.Equal(got.columns, now.columns) {
		r.mismatch("%s: sample types are %v, want %v", name, got.columns, now.columns)
		return false
	}
	return true
}

// periodOf writes the period with its type; a parsed profile always has one,
// which is empty if the bytes have none.
func periodOf(p *profile.Profile) string {
	return fmt.Sprintf("%d %s/%s", p.Period, p.PeriodType.Type, p.PeriodType.Unit)
}

// compareStacks checks that a received key was sent once and that its addresses
// still have the functions, files and lines they had.
func compareStacks(r *report, name string, k key, got, now *table) {
	if got.samples[k] > 1 {
		r.mismatch("%s: %d samples with the key %s", name, got.samples[k], k)
	}
	for stack := range got.stacks[k] {
		if !now.stacks[k][stack] {
			r.mismatch("%s: stack %q was not recorded at %s", name, stack, k)
		}
	}
}

// compareSums checks that the differences add up to what happened between the
// first and the last profile. It does not depend on how they were matched.
func compareSums(r *report, first, last *table, got map[int]received) {
	tables := []*table{first, last}
	for _, one := range got {
		if slices.Equal(one.table.columns, last.columns) {
			tables = append(tables, one.table)
		}
	}
	keys := keysOf(tables...)
	r.Keys += len(keys)
	for column, columnName := range last.columns {
		if !subtracted[columnName] {
			continue
		}
		for _, k := range keys {
			var sum int64
			for _, t := range tables[2:] {
				sum += t.at(k, column)
			}
			r.Sums[columnName] += sum
			if want := last.at(k, column) - first.at(k, column); sum != want {
				r.mismatch("sum of %s is %d, want %d, at %s", columnName, sum, want, k)
			}
		}
	}
}

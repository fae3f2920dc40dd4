package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"pyroscope-operator.dev/e2e/testbed/internal/recording"
)

const path = "/debug/pprof/allocs"

// start is when the process began; profile i is taken i seconds later.
const start = int64(1_700_000_000_000_000_000)

func at(i int) int64 { return start + int64(i)*1_000_000_000 }

// heap is a memory profile of three call sites. Counts gives, for each, the
// objects allocated so far; the in-use columns are made up from i. Location ids
// depend on i, as they do in Go.
func heap(i int, counts ...int64) *profile.Profile {
	p := &profile.Profile{
		TimeNanos:  at(i),
		PeriodType: &profile.ValueType{Type: "space", Unit: "bytes"},
		Period:     4096,
	}
	for _, name := range []string{"alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"} {
		column, unit, _ := strings.Cut(name, "/")
		p.SampleType = append(p.SampleType, &profile.ValueType{Type: column, Unit: unit})
	}
	for site, n := range counts {
		f := &profile.Function{ID: uint64(site + 1), Name: fmt.Sprintf("site%d", site)}
		l := &profile.Location{
			ID:      uint64((site+i)%len(counts) + 1),
			Address: uint64(0x1000 * (site + 1)),
			Line:    []profile.Line{{Function: f, Line: int64(site)}},
		}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
		p.Sample = append(p.Sample, &profile.Sample{
			Location: []*profile.Location{l},
			Value:    []int64{n, 64 * n, int64(i), 64 * int64(i)},
			NumLabel: map[string][]int64{"bytes": {64}},
			NumUnit:  map[string][]string{"bytes": {"bytes"}},
		})
	}
	return p
}

// recordedHeaps is what a process served: a baseline and three more.
func recordedHeaps() []*profile.Profile {
	return []*profile.Profile{
		heap(0, 5, 0, 7), heap(1, 6, 0, 7), heap(2, 9, 4, 7), heap(3, 9, 6, 20),
	}
}

// expectedDeltas makes the differences of them by hand: values known from the
// counts above, and the samples without any value left out.
func expectedDeltas() []*profile.Profile {
	deltas := []*profile.Profile{heap(1, 1, 0, 0), heap(2, 3, 4, 0), heap(3, 0, 2, 13)}
	for _, d := range deltas {
		d.DurationNanos = 1_000_000_000
	}
	return deltas
}

func encode(t *testing.T, p *profile.Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// record writes the directory of one process; a request with seconds= and one
// for another path are in it as well, and must be left out.
func record(t *testing.T, profiles []*profile.Profile) string {
	t.Helper()
	dir := t.TempDir()
	w, err := recording.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	add := func(path, query string, p *profile.Profile) {
		line := recording.Line{Path: path, Query: query, File: fmt.Sprintf("%s-%d", filepath.Base(path)+query, p.TimeNanos)}
		if err := w.Add(line, encode(t, p)); err != nil {
			t.Fatal(err)
		}
	}
	add("/debug/pprof/heap", "", heap(50, 1, 1, 1))
	for _, p := range profiles {
		add(path, "", p)
	}
	add(path, "seconds=1", heap(51, 1, 1, 1))
	return dir
}

// receiver answers as cmd/receiver does, for the label service_name=shop.
func receiver(t *testing.T, profiles []*profile.Profile) string {
	t.Helper()
	bodies := make([][]byte, len(profiles))
	for i, p := range profiles {
		bodies[i] = encode(t, p)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/profiles", func(w http.ResponseWriter, r *http.Request) {
		rows := []map[string]int{}
		for i := range bodies {
			if r.FormValue("service_name") == "shop" {
				rows = append(rows, map[string]int{"seq": i})
			}
		}
		_ = json.NewEncoder(w).Encode(rows)
	})
	mux.HandleFunc("GET /api/profiles/{seq}/body", func(w http.ResponseWriter, r *http.Request) {
		var seq int
		_, _ = fmt.Sscan(r.PathValue("seq"), &seq)
		_, _ = w.Write(bodies[seq])
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// check runs the command and returns its status and report.
func check(t *testing.T, url string, dirs ...string) (int, report) {
	t.Helper()
	args := []string{"deltas", "--path", path, "--receiver", url, "--label", "service_name=shop", "--json"}
	for _, dir := range dirs {
		args = append(args, "--recorded", dir)
	}
	var out bytes.Buffer
	status := run(args, &out, io.Discard)
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("report %q: %v", out.String(), err)
	}
	return status, r
}

func TestExactDeltasPass(t *testing.T) {
	status, r := check(t, receiver(t, expectedDeltas()), record(t, recordedHeaps()))
	if status != exitOK || !r.OK || r.Recorded != 4 || r.Received != 3 || r.Keys != 3 {
		t.Fatalf("status %d, report %+v", status, r)
	}
	if r.Sums["alloc_objects/count"] != 4+6+13 {
		t.Errorf("sums: %v", r.Sums)
	}
}

// Samples that share a key in the recorded profile arrive as one.
func TestEqualKeysAreSummed(t *testing.T) {
	recorded := recordedHeaps()
	for _, p := range recorded {
		s := *p.Sample[0]
		s.Value = []int64{2, 0, 0, 0}
		p.Sample = append(p.Sample, &s)
	}
	if status, r := check(t, receiver(t, expectedDeltas()), record(t, recorded)); status != exitOK {
		t.Errorf("status %d, report %+v", status, r)
	}
}

func TestDefectsFail(t *testing.T) {
	value := func(delta, sample, column int, change int64) func([]*profile.Profile) []*profile.Profile {
		return func(d []*profile.Profile) []*profile.Profile {
			d[delta].Sample[sample].Value[column] += change
			return d
		}
	}
	tests := []struct {
		name   string
		defect func([]*profile.Profile) []*profile.Profile
		want   string
	}{
		{"missing", func(d []*profile.Profile) []*profile.Profile { return append(d[:1], d[2]) }, "missing: nothing received"},
		{"first missing", func(d []*profile.Profile) []*profile.Profile { return d[1:] }, "missing: nothing received"},
		{"doubled", func(d []*profile.Profile) []*profile.Profile { return append(d, d[1]) }, "same profile as received 1"},
		{"off by one", value(1, 0, 0, 1), "alloc_objects/count is 4, want 3"},
		{"off by one, in use", value(1, 0, 2, 1), "inuse_objects/count is 3, want 2"},
		{"negative", value(2, 1, 1, -200), "negative"},
		{"compensated by the next", func(d []*profile.Profile) []*profile.Profile {
			d = value(0, 0, 0, 1)(d)
			return value(1, 0, 0, -1)(d)
		}, "received 0: alloc_objects/count is 2, want 1"},
		{"renamed function", func(d []*profile.Profile) []*profile.Profile {
			d[0].Function[0].Name = "other"
			return d
		}, "was not recorded"},
		{"other line", func(d []*profile.Profile) []*profile.Profile {
			d[0].Location[0].Line[0].Line++
			return d
		}, "was not recorded"},
		{"other address", func(d []*profile.Profile) []*profile.Profile {
			d[0].Location[0].Address++
			return d
		}, "want 1"},
		{"other label unit", func(d []*profile.Profile) []*profile.Profile {
			d[0].Sample[0].NumUnit["bytes"][0] = "kb"
			return d
		}, "want 1"},
		{"sample left out", func(d []*profile.Profile) []*profile.Profile {
			d[1].Sample = d[1].Sample[1:]
			return d
		}, "alloc_objects/count is 0, want 3"},
		{"key sent twice", func(d []*profile.Profile) []*profile.Profile {
			s := *d[0].Sample[0]
			s.Value = []int64{0, 0, 0, 0}
			d[0].Sample = append(d[0].Sample, &s)
			return d
		}, "2 samples with the key"},
		{"duration", func(d []*profile.Profile) []*profile.Profile {
			d[0].DurationNanos++
			return d
		}, "duration"},
		{"time", func(d []*profile.Profile) []*profile.Profile {
			d[2].TimeNanos++
			return d
		}, "no recorded profile has its time"},
		{"baseline sent", func(d []*profile.Profile) []*profile.Profile {
			return append([]*profile.Profile{heap(0, 5, 0, 7)}, d...)
		}, "which is the baseline"},
		{"period type", func(d []*profile.Profile) []*profile.Profile {
			d[0].PeriodType = nil
			return d
		}, "period is 4096 /, want 4096 space/bytes"},
		{"sample types", func(d []*profile.Profile) []*profile.Profile {
			d[0].SampleType[0].Type = "objects"
			return d
		}, "sample types are"},
		{"nothing at all", func([]*profile.Profile) []*profile.Profile { return nil }, "nothing proven"},
		{"one only", func(d []*profile.Profile) []*profile.Profile { return d[:1] }, "nothing proven: 1 profiles"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, r := check(t, receiver(t, tt.defect(expectedDeltas())), record(t, recordedHeaps()))
			if status != exitMismatch || r.OK || !strings.Contains(strings.Join(r.Mismatches, "\n"), tt.want) {
				t.Errorf("status %d, want a mismatch with %q: %+v", status, tt.want, r)
			}
		})
	}
}

// contention is a mutex profile: it has no columns besides subtracted ones.
func contention(i int, n int64) *profile.Profile {
	p := heap(i, n)
	p.SampleType = []*profile.ValueType{{Type: "contentions", Unit: "count"}, {Type: "delay", Unit: "nanoseconds"}}
	p.Sample[0].Value = p.Sample[0].Value[:2]
	return p
}

// A profile in which nothing happened is rightly not sent; the next one's
// duration still starts at it.
func TestUnchangedProfileMayBeAbsent(t *testing.T) {
	recorded := []*profile.Profile{contention(0, 1), contention(1, 3), contention(2, 3), contention(3, 4)}
	deltas := []*profile.Profile{contention(1, 2), contention(3, 1)}
	for _, d := range deltas {
		d.DurationNanos = 1_000_000_000
	}
	status, r := check(t, receiver(t, deltas), record(t, recorded))
	if status != exitOK || r.Lives[0].Empty != 1 {
		t.Errorf("status %d, report %+v", status, r)
	}
}

// Differences that are all zero prove nothing, however many there are.
func TestZeroSumsFail(t *testing.T) {
	recorded := []*profile.Profile{contention(0, 1), contention(1, 1), contention(2, 1)}
	deltas := []*profile.Profile{contention(1, 0), contention(2, 0)}
	for _, d := range deltas {
		d.DurationNanos = 1_000_000_000
	}
	status, r := check(t, receiver(t, deltas), record(t, recorded))
	if status != exitMismatch || !strings.Contains(strings.Join(r.Mismatches, "\n"), "add up to zero") {
		t.Errorf("status %d, report %+v", status, r)
	}
}

// A restarted process has its own directory and its own baseline.
func TestTwoLives(t *testing.T) {
	second := []*profile.Profile{heap(10, 1, 1, 1), heap(11, 2, 1, 1)}
	delta := heap(11, 1, 0, 0)
	delta.DurationNanos = 1_000_000_000
	dirs := []string{record(t, recordedHeaps()), record(t, second)}
	status, r := check(t, receiver(t, append(expectedDeltas(), delta)), dirs...)
	if status != exitOK || len(r.Lives) != 2 || r.Lives[1].Received != 1 || r.Recorded != 6 {
		t.Errorf("status %d, report %+v", status, r)
	}
	// Across the restart there is no difference to be made.
	across := heap(10, 1, 1, 1)
	status, r = check(t, receiver(t, append(expectedDeltas(), across, delta)), dirs...)
	if status != exitMismatch || !strings.Contains(strings.Join(r.Mismatches, "\n"), "baseline") {
		t.Errorf("status %d, report %+v", status, r)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"other"},
		{"deltas"},
		{"deltas", "--label", "novalue"},
		{"deltas", "--recorded", "/nowhere", "--receiver", "http://127.0.0.1:1", "--label", "a=b"},
	} {
		if status := run(args, io.Discard, io.Discard); status != exitUsage {
			t.Errorf("%v: status %d, want %d", args, status, exitUsage)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"

	"github.com/google/pprof/profile"
)

// bed is a receiver and a client of it.
type bed struct {
	t      *testing.T
	url    string
	client pushv1connect.PusherServiceClient
}

func newBed(t *testing.T, o options) *bed {
	t.Helper()
	if o.keep == 0 {
		o.keep = 100
	}
	handler, err := newHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &bed{t, server.URL, pushv1connect.NewPusherServiceClient(server.Client(), server.URL)}
}

// push returns the error as the wire has it: "code: message".
func (b *bed) push(series ...*pushv1.RawProfileSeries) string {
	b.t.Helper()
	_, err := b.client.Push(context.Background(), connect.NewRequest(&pushv1.PushRequest{Series: series}))
	if err == nil {
		return ""
	}
	return err.Error()
}

func (b *bed) get(path string, into any) {
	b.t.Helper()
	resp, err := http.Get(b.url + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		b.t.Fatalf("GET %s: %v %s %s", path, err, resp.Status, body)
	}
	if raw, ok := into.(*[]byte); ok {
		*raw = body
	} else if err := json.Unmarshal(body, into); err != nil {
		b.t.Fatalf("GET %s: %v", path, err)
	}
}

func (b *bed) post(path, body string) int {
	b.t.Helper()
	resp, err := http.Post(b.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// cpu is a profile in which main calls work; edit changes it.
func cpu(edit func(*profile.Profile)) *profile.Profile {
	work := &profile.Function{ID: 1, Name: "work"}
	start := &profile.Function{ID: 2, Name: "main"}
	leaf := &profile.Location{ID: 1, Address: 0x10, Line: []profile.Line{{Function: work, Line: 3}}}
	root := &profile.Location{ID: 2, Address: 0x20, Line: []profile.Line{{Function: start, Line: 9}}}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:     10_000_000,
		TimeNanos:  time.Now().UnixNano(),
		Sample: []*profile.Sample{
			{Location: []*profile.Location{leaf, root}, Value: []int64{2, 20}},
			{Location: []*profile.Location{root}, Value: []int64{1, 10}},
		},
		Location: []*profile.Location{leaf, root},
		Function: []*profile.Function{work, start},
	}
	if edit != nil {
		edit(p)
	}
	return p
}

func encoded(t *testing.T, p *profile.Profile, gzipped bool) []byte {
	t.Helper()
	var b bytes.Buffer
	write := p.WriteUncompressed
	if gzipped {
		write = p.Write
	}
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func rawSeries(id string, raw []byte, labels ...string) *pushv1.RawProfileSeries {
	s := &pushv1.RawProfileSeries{Samples: []*pushv1.RawSample{{RawProfile: raw, ID: id}}}
	for i := 0; i < len(labels); i += 2 {
		s.Labels = append(s.Labels, &typesv1.LabelPair{Name: labels[i], Value: labels[i+1]})
	}
	return s
}

func good(t *testing.T, id string) *pushv1.RawProfileSeries {
	return rawSeries(id, encoded(t, cpu(nil), true), nameLabel, "process_cpu", serviceLabel, "shop")
}

func TestAcceptedProfile(t *testing.T) {
	b := newBed(t, options{})
	raw := encoded(t, cpu(func(p *profile.Profile) { p.Sample[1].Value[1] = -10 }), false)
	if err := b.push(good(t, "a"), rawSeries("b", raw, nameLabel, "process_cpu", serviceLabel, "bank", "pod", "p")); err != "" {
		t.Fatal(err)
	}
	var rows []metadata
	b.get("/api/profiles?since=1&service_name=bank&pod=p", &rows)
	if len(rows) != 1 {
		t.Fatalf("got %+v", rows)
	}
	m := rows[0]
	if m.Seq != 2 || m.Request != 1 || m.ID != "b" || m.ContentEncoding != "raw" || !m.Negative || m.Samples != 2 {
		t.Errorf("metadata: %+v", m)
	}
	if fmt.Sprint(m.Totals) != "map[cpu/nanoseconds:10 samples/count:3]" || m.Bytes != len(raw) {
		t.Errorf("totals %v, bytes %d", m.Totals, m.Bytes)
	}
	var body []byte
	b.get("/api/profiles/2/body", &body)
	if !bytes.Equal(body, raw) {
		t.Error("the body is not what was sent")
	}
	var summary []summaryRow
	b.get("/api/summary", &summary)
	if len(summary) != 2 || summary[0].ServiceName != "bank" || summary[1].Samples != 2 {
		t.Errorf("summary: %+v", summary)
	}
	var none []metadata
	if b.get("/api/profiles?service_name=bank&pod=other", &none); none == nil || len(none) != 0 {
		t.Errorf("want [], got %v", none)
	}
}

func TestRejected(t *testing.T) {
	many := make([]string, 0, 64)
	for i := range 31 {
		many = append(many, fmt.Sprintf("l%d", i), "x")
	}
	named := []string{nameLabel, "process_cpu", serviceLabel, "shop"}
	tests := []struct {
		name   string
		edit   func(*profile.Profile)
		labels []string
		want   string
	}{
		{"too old", func(p *profile.Profile) { p.TimeNanos -= int64(61 * time.Minute) }, named, "profile too old"},
		{"too new", func(p *profile.Profile) { p.TimeNanos += int64(11 * time.Minute) }, named, "profile too new"},
		{"samples", func(p *profile.Profile) {
			for len(p.Sample) <= 16_000 {
				p.Sample = append(p.Sample, p.Sample[0])
			}
		}, named, "profile of 16001 samples"},
		{"size", func(p *profile.Profile) { p.Comments = []string{strings.Repeat("x", 4<<20)} }, named, "at most 4194304 are allowed"},
		{"no service", nil, []string{nameLabel, "process_cpu"}, "label service_name is missing"},
		{"no name", nil, []string{serviceLabel, "shop"}, "label __name__ is missing"},
		{"no labels", nil, nil, "label __name__ is missing"},
		{"31 labels", nil, many, "31 labels, at most 30"},
		{"label name", nil, append([]string{"a.b", "x"}, named...), `"a.b" is not a label name`},
		{"long name", nil, append([]string{strings.Repeat("a", 1025), "x"}, named...), "label name of 1025 bytes"},
		{"long value", nil, append([]string{"a", strings.Repeat("x", 2049)}, named...), "value of label a has 2049 bytes"},
		{"duplicate name", nil, append([]string{"a", "x", "a", "y"}, named...), "label a is there twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, options{})
			err := b.push(rawSeries("x", encoded(t, cpu(tt.edit), true), tt.labels...))
			if !strings.HasPrefix(err, "invalid_argument: ") || !strings.Contains(err, tt.want) {
				t.Errorf("got %q, want invalid_argument with %q", err, tt.want)
			}
			var rejected struct {
				Count int
				Last  []rejection
			}
			if b.get("/api/rejected", &rejected); rejected.Count != 1 || rejected.Last[0].ID != "x" {
				t.Errorf("rejected: %+v", rejected)
			}
		})
	}
}

// What connect leaves of the error tree decides what a client can know.
func TestErrorsOnTheWire(t *testing.T) {
	old := func(p *profile.Profile) { p.TimeNanos = 1 }
	tests := []struct {
		name     string
		series   func(t *testing.T) []*pushv1.RawProfileSeries
		want     string
		withID   bool
		accepted int
	}{
		{"coded: the inner message only", func(t *testing.T) []*pushv1.RawProfileSeries {
			return []*pushv1.RawProfileSeries{good(t, "a"), rawSeries("bad", encoded(t, cpu(old), true), nameLabel, "x", serviceLabel, "y")}
		}, "invalid_argument: profile too old", false, 1},
		{"unparsable: uncoded, without id", func(t *testing.T) []*pushv1.RawProfileSeries {
			return []*pushv1.RawProfileSeries{rawSeries("bad", []byte("junk"), nameLabel, "x", serviceLabel, "y"), good(t, "a")}
		}, "unknown: failed to parse profile", false, 1},
		{"uncoded failure: with id", func(t *testing.T) []*pushv1.RawProfileSeries {
			bare := func(p *profile.Profile) { p.PeriodType = nil }
			return []*pushv1.RawProfileSeries{rawSeries("bad", encoded(t, cpu(bare), true), nameLabel, "x", serviceLabel, "y"), good(t, "a")}
		}, "unknown: push series with index 0 and id bad failed", true, 1},
		{"nothing", func(*testing.T) []*pushv1.RawProfileSeries { return nil }, "invalid_argument: the request has no profiles", false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, options{})
			err := b.push(tt.series(t)...)
			if !strings.HasPrefix(err, tt.want) || strings.Contains(err, "id bad") != tt.withID {
				t.Errorf("got %q, want %q, id: %v", err, tt.want, tt.withID)
			}
			var s stats
			if b.get("/api/stats", &s); s.Profiles != tt.accepted {
				t.Errorf("accepted %d, want %d", s.Profiles, tt.accepted)
			}
		})
	}
}

func TestRequestLimit(t *testing.T) {
	b := newBed(t, options{maxBytes: len(encoded(t, cpu(nil), false)) + 20})
	if err := b.push(good(t, "a"), good(t, "b")); !strings.Contains(err, "exceeds limit") {
		t.Errorf("got %q", err)
	}
	if err := b.push(good(t, "a")); err != "" {
		t.Errorf("half of it: %q", err)
	}
}

func TestAuth(t *testing.T) {
	tests := []struct {
		name          string
		auth          auth
		authorization string
		tenant        string
		ok            bool
	}{
		{"open", auth{}, "", "", true},
		{"basic", auth{basic: "u:p"}, "Basic dTpw", "", true},
		{"basic wrong", auth{basic: "u:p"}, "Basic dTpx", "", false},
		{"basic missing", auth{basic: "u:p"}, "", "", false},
		{"bearer", auth{bearer: "t"}, "Bearer t", "", true},
		{"bearer wrong", auth{bearer: "t"}, "Bearer u", "", false},
		{"tenant", auth{tenant: "a"}, "", "a", true},
		{"tenant wrong", auth{tenant: "a"}, "", "b", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, options{auth: tt.auth})
			req := connect.NewRequest(&pushv1.PushRequest{Series: []*pushv1.RawProfileSeries{good(t, "a")}})
			req.Header().Set("Authorization", tt.authorization)
			req.Header().Set(tenantHeader, tt.tenant)
			_, err := b.client.Push(context.Background(), req)
			if tt.ok != (err == nil) || (err != nil && connect.CodeOf(err) != connect.CodeUnauthenticated) {
				t.Errorf("got %v, want ok=%v", err, tt.ok)
			}
		})
	}
}

func TestDuplicatesAndEviction(t *testing.T) {
	b := newBed(t, options{keep: 2})
	for _, id := range []string{"a", "a", "b", "a"} {
		if err := b.push(good(t, id)); err != "" {
			t.Fatal(err)
		}
	}
	var rows []metadata
	b.get("/api/profiles", &rows)
	if len(rows) != 2 || rows[0].Seq != 3 || rows[1].DuplicateOf != 0 {
		t.Errorf("kept: %+v", rows) // the first a is forgotten by then
	}
	var s stats
	b.get("/api/stats", &s)
	if s.Requests != 4 || s.Profiles != 4 || s.Duplicates != 1 || s.Kept != 2 {
		t.Errorf("stats: %+v", s)
	}
	b.post("/api/reset", "")
	if b.get("/api/stats", &s); s != (stats{}) {
		t.Errorf("after reset: %+v", s)
	}
}

func TestTop(t *testing.T) {
	b := newBed(t, options{})
	other := cpu(func(p *profile.Profile) { p.SampleType[0].Type = "other" })
	b.push(good(t, "a"), good(t, "b"), rawSeries("c", encoded(t, other, true), nameLabel, "process_cpu", serviceLabel, "shop"))
	var rows []topRow
	b.get("/api/top?service_name=shop&n=2&sample_type="+url.QueryEscape("cpu/nanoseconds"), &rows)
	want := []topRow{{"work", 40, 40, "nanoseconds"}, {"main", 20, 60, "nanoseconds"}}
	if fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", rows, want)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name, fault string
		want        string // of the push that is hit
		accepted    int    // of two profiles in it
	}{
		{"status", `{"status":503,"retryAfter":"1"}`, "unavailable", 0},
		{"code", `{"code":"resource_exhausted","message":"too fast"}`, "resource_exhausted: too fast", 0},
		{"delay", `{"delayMs":1}`, "", 2},
		{"drop", `{"dropAfter":true}`, "unavailable", 2},
		{"match, coded", `{"code":"resource_exhausted","match":{"service_name":"bank"}}`, "resource_exhausted: injected fault", 1},
		{"match, unparsable", `{"unparsable":true,"match":{"service_name":"bank"}}`, "unknown: injected fault", 1},
		{"match, uncoded", `{"match":{"service_name":"bank"}}`, "unknown: push series with index 1 and id b failed: injected fault", 1},
		{"cleared", `{"status":503,"count":0}`, "", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, options{})
			if status := b.post("/api/fault", tt.fault); status != 200 {
				t.Fatalf("fault: status %d", status)
			}
			second := good(t, "b")
			second.Labels[1].Value = "bank"
			if err := b.push(good(t, "a"), second); !strings.HasPrefix(err, tt.want) || (tt.want == "") != (err == "") {
				t.Errorf("got %q, want %q", err, tt.want)
			}
			var s stats
			if b.get("/api/stats", &s); s.Profiles != tt.accepted {
				t.Errorf("accepted %d, want %d", s.Profiles, tt.accepted)
			}
			if err := b.push(good(t, "c")); err != "" {
				t.Errorf("the fault outlived its count: %q", err)
			}
		})
	}
	b := newBed(t, options{})
	for _, bad := range []string{`{"unparsable":true}`, `{"code":"nonsense"}`, `{"statsu":503}`, `{"status":7}`, `x`} {
		if status := b.post("/api/fault", bad); status != 400 {
			t.Errorf("fault %s: status %d, want 400", bad, status)
		}
	}
}

// A client that gives up during a delay has nothing taken from it: what is
// taken without an answer is dropAfter's business.
func TestDelayOutlivesClient(t *testing.T) {
	b := newBed(t, options{})
	b.post("/api/fault", `{"delayMs":60000}`)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := b.client.Push(ctx, connect.NewRequest(&pushv1.PushRequest{Series: []*pushv1.RawProfileSeries{good(t, "a")}}))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	var s stats
	if b.get("/api/stats", &s); s.Faulted != 1 || s.Profiles != 0 {
		t.Errorf("stats: %+v", s)
	}
	var rows []attempt
	if b.get("/api/requests", &rows); len(rows) != 1 || rows[0].Status != 0 || len(rows[0].IDs) != 1 {
		t.Errorf("requests: %+v", rows)
	}
}

// Every request is noted, with what was sent and what was answered.
func TestRequests(t *testing.T) {
	tests := []struct {
		fault string
		want  int
	}{
		{`{"count":0}`, 200},
		{`{"status":503}`, 503},
		{`{"status":308,"location":"http://127.0.0.1:1/"}`, 308},
		{`{"code":"resource_exhausted"}`, 429},
		{`{"code":"invalid_argument","match":{"service_name":"shop"}}`, 400},
		{`{"dropAfter":true}`, 0},
	}
	b := newBed(t, options{})
	for _, tt := range tests {
		b.post("/api/fault", tt.fault)
		b.push(good(t, "a"), good(t, "b"))
	}
	var rows []attempt
	b.get("/api/requests", &rows)
	if len(rows) != len(tests) {
		t.Fatalf("%d requests, want %d", len(rows), len(tests))
	}
	for i, row := range rows {
		if row.Status != tests[i].want || fmt.Sprint(row.IDs) != "[a b]" || row.Number != i+1 || row.Bytes == 0 || row.Faulted != (i > 0) {
			t.Errorf("fault %s: %+v", tests[i].fault, row)
		}
		if i > 0 && row.UnixNano <= rows[i-1].UnixNano {
			t.Errorf("request %d: not after the one before", row.Number)
		}
	}
	if b.get("/api/requests?since=4", &rows); len(rows) != 2 {
		t.Errorf("after the 4th: %+v", rows)
	}
	b.post("/api/reset", "")
	if b.get("/api/requests", &rows); rows == nil || len(rows) != 0 {
		t.Errorf("after reset: %+v", rows)
	}
}

// What was accepted outlives the process, but for a line that it did not finish.
func TestData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	first := newBed(t, options{data: path})
	first.push(good(t, "a"), good(t, "b"), rawSeries("c", []byte("junk")))
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"metadata":{"seq":3`); err != nil {
		t.Fatal(err)
	}
	second := newBed(t, options{data: path})
	last := good(t, "d")
	second.push(good(t, "a"), last)
	third := newBed(t, options{data: path})
	var rows []metadata
	third.get("/api/profiles", &rows)
	var got []string
	for _, row := range rows {
		got = append(got, fmt.Sprintf("%d%s%d", row.Seq, row.ID, row.DuplicateOf))
	}
	if want := "[1a0 2b0 3a1 4d0]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	var s stats
	if third.get("/api/stats", &s); s.Profiles != 4 || s.Duplicates != 1 || s.Kept != 4 {
		t.Errorf("stats: %+v", s)
	}
	var body []byte
	if third.get("/api/profiles/4/body", &body); !bytes.Equal(body, last.Samples[0].RawProfile) {
		t.Error("the body is not what was sent")
	}
}

package main

import (
	"encoding/json"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxEntries bounds the log; at 20 requests a second it is a quarter of an hour.
const maxEntries = 20_000

// entry describes one finished request for a debug path. Seq counts finished
// requests from 1; Time is when the request arrived; Host is the local address
// it came to, which tells the targets of one process apart.
type entry struct {
	Seq        int               `json:"seq"`
	Time       time.Time         `json:"time"`
	UnixNano   int64             `json:"unixNano"`
	Host       string            `json:"host"`
	Path       string            `json:"path"`
	Query      string            `json:"query"`
	Status     int               `json:"status"`
	Bytes      int               `json:"bytes"`
	DurationMS float64           `json:"durationMs"`
	Header     map[string]string `json:"header"`
	// ConcurrentCPU is, for a CPU profile, how many others were being taken when
	// its request arrived: Go takes one at a time and answers 500 to the others.
	ConcurrentCPU int `json:"concurrentCPU"`
}

// requestLog is what the tests ask: which requests came, when, how many.
type requestLog struct {
	recorder *recorder // nil: nothing is recorded
	cpu      atomic.Int64

	mu      sync.Mutex
	seq     int
	entries []entry
}

func newRequestLog(rec *recorder) *requestLog {
	return &requestLog{recorder: rec}
}

// watch logs, and records, what next serves.
func (l *requestLog) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := newEntry(r)
		if strings.HasSuffix(r.URL.Path, "/debug/pprof/profile") {
			e.ConcurrentCPU = int(l.cpu.Add(1)) - 1
			defer l.cpu.Add(-1)
		}
		tap := &responseTap{ResponseWriter: w, keep: l.recorder != nil}
		next.ServeHTTP(tap, r)
		e.DurationMS = float64(time.Since(e.Time).Microseconds()) / 1000
		e.Status, e.Bytes = tap.statusCode(), tap.written
		// The last bytes are sent after the handler returns, so a client that
		// has the whole body can rely on its record being on disk.
		l.finish(e, tap, r.Context().Err() == nil)
	})
}

func newEntry(r *http.Request) entry {
	now := time.Now()
	return entry{
		Time:     now,
		UnixNano: now.UnixNano(),
		Host:     localHost(r),
		Path:     r.URL.Path,
		Query:    r.URL.RawQuery,
		Header: map[string]string{
			"User-Agent":      r.Header.Get("User-Agent"),
			"Accept-Encoding": r.Header.Get("Accept-Encoding"),
		},
	}
}

// localHost is the address of this side of the connection, without the port;
// empty for a request that came over none.
func localHost(r *http.Request) string {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(local.String())
	if err != nil {
		return ""
	}
	return host
}

// finish gives the next number to e. Recording happens under the same lock, so
// that numbers, files and index lines are in one order.
func (l *requestLog) finish(e entry, tap *responseTap, clientStayed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq = l.seq
	if l.recorder != nil && e.Status == http.StatusOK && tap.err == nil && clientStayed {
		if err := l.recorder.record(e, tap.body.Bytes()); err != nil {
			log.Fatalf("recording: %v", err) // a gap would look like the operator's fault
		}
	}
	if len(l.entries) >= maxEntries {
		l.entries = l.entries[1:]
	}
	l.entries = append(l.entries, e)
}

// after returns a copy of the entries with a number above since.
func (l *requestLog) after(since int) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := []entry{}
	for _, e := range l.entries {
		if e.Seq > since {
			found = append(found, e)
		}
	}
	return found
}

func (l *requestLog) serveJSON(w http.ResponseWriter, r *http.Request) {
	since := 0
	if text := r.FormValue("since"); text != "" {
		var err error
		if since, err = strconv.Atoi(text); err != nil {
			http.Error(w, "since is not a number", http.StatusBadRequest)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(l.after(since)); err != nil {
		log.Printf("answering /-/requests: %v", err)
	}
}

package main

import (
	"encoding/json"
	"log"
	"net/http"
	"slices"
	"strconv"

	"pyroscope-operator.dev/e2e/testbed/internal/cpu"
)

type stats struct {
	Requests    int64   `json:"requests"`
	Bytes       int64   `json:"bytes"`
	Connections int64   `json:"connections"`
	Wrapped     int     `json:"wrapped"` // requests that got the last answer again
	CPUSeconds  float64 `json:"cpuSeconds"`
}

type arrivals struct {
	Address string  `json:"address"`
	Path    string  `json:"path"`
	At      []int64 `json:"at"` // unix nanoseconds
}

func (s *server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/stats", func(w http.ResponseWriter, _ *http.Request) { write(w, s.stats()) })
	mux.HandleFunc("GET /-/arrivals", func(w http.ResponseWriter, r *http.Request) {
		since, _ := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64) // 0 without one
		write(w, s.arrivals(since))
	})
	return mux
}

func write(w http.ResponseWriter, what any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(what); err != nil {
		log.Print(err)
	}
}

func (s *server) stats() stats {
	found := stats{Requests: s.requests.Load(), Bytes: s.bytes.Load(), Connections: s.open.Load(), CPUSeconds: cpu.Seconds()}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, t := range s.targets {
		t.mutex.Lock()
		found.Wrapped += t.wrapped
		t.mutex.Unlock()
	}
	return found
}

// arrivals are those at or after `since`, in unix nanoseconds.
func (s *server) arrivals(since int64) []arrivals {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found := make([]arrivals, 0, len(s.targets))
	for k, t := range s.targets {
		t.mutex.Lock()
		first, _ := slices.BinarySearch(t.arrivals, since)
		found = append(found, arrivals{k.address, k.path, slices.Clone(t.arrivals[first:])})
		t.mutex.Unlock()
	}
	return found
}

package main

import (
	"bytes"
	"net/http"
	"sync"
	"time"

	"pyroscope-operator.dev/e2e/testbed/internal/cpu"
)

const mostBody = 64 << 20

type stats struct {
	Requests   int64   `json:"requests"`
	Series     int64   `json:"series"`
	Profiles   int64   `json:"profiles"`
	Bytes      int64   `json:"bytes"`
	Refused    int64   `json:"refused"`
	First      int64   `json:"firstUnixNano"` // of the first profile; 0 before
	CPUSeconds float64 `json:"cpuSeconds"`
}

type sink struct {
	bodies sync.Pool

	mutex sync.Mutex
	seen  stats
}

func newSink() *sink {
	return &sink{bodies: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

func (s *sink) push(w http.ResponseWriter, r *http.Request) {
	body := s.bodies.Get().(*bytes.Buffer)
	defer s.bodies.Put(body)
	body.Reset()
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, mostBody))
	series, profiles := 0, 0
	if err == nil {
		series, profiles, err = count(body.Bytes())
	}
	s.note(series, profiles, body.Len(), err)
	if err != nil {
		http.Error(w, "not a PushRequest", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/proto")
	w.WriteHeader(http.StatusOK)
}

func (s *sink) note(series, profiles, size int, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.seen.Requests++
	if err != nil {
		s.seen.Refused++
		return
	}
	if s.seen.First == 0 && profiles > 0 {
		s.seen.First = time.Now().UnixNano()
	}
	s.seen.Series += int64(series)
	s.seen.Profiles += int64(profiles)
	s.seen.Bytes += int64(size)
}

func (s *sink) stats() stats {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found := s.seen
	found.CPUSeconds = cpu.Seconds()
	return found
}

package main

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"

	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"google.golang.org/protobuf/proto"
)

// maxAttempts bounds the list of the latest push requests.
const maxAttempts = 2_000

// attempt is one push request, whatever became of it: what a client sends again,
// how soon, and how often. Status is what was answered, 0 if nothing was (yet).
type attempt struct {
	Number     int      `json:"number"` // counts push requests from 1
	UnixNano   int64    `json:"unixNano"`
	Bytes      int      `json:"bytes"`
	IDs        []string `json:"ids"`
	Faulted    bool     `json:"faulted"`
	Status     int      `json:"status"`
	DurationMS float64  `json:"durationMs"`
}

// attempts is what GET /api/requests shows.
type attempts struct {
	mu   sync.Mutex
	kept []*attempt
}

// begin notes a request that arrived now. Its whole body is read here: a fault
// must not hide what was sent, and only then does net/http notice a client that
// leaves.
func (a *attempts) begin(r *http.Request, number int, faulted bool) (*attempt, error) {
	begun := &attempt{Number: number, UnixNano: time.Now().UnixNano(), IDs: []string{}, Faulted: faulted}
	a.add(begun)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMessageBytes))
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.mu.Lock()
	defer a.mu.Unlock()
	begun.Bytes, begun.IDs = len(body), sampleIDs(body)
	return begun, err
}

func (a *attempts) add(begun *attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept) >= maxAttempts {
		a.kept[0] = nil // the slice's array still refers to it
		a.kept = a.kept[1:]
	}
	a.kept = append(a.kept, begun)
}

func (a *attempts) end(begun *attempt, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	begun.Status = status
	begun.DurationMS = float64(time.Now().UnixNano()-begun.UnixNano) / 1e6
}

func (a *attempts) after(since int) []attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := []attempt{}
	for _, one := range a.kept {
		if one.Number > since {
			found = append(found, *one)
		}
	}
	return found
}

func (a *attempts) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = nil
}

// sampleIDs lists the ids in a request's body; none if it is no protobuf.
func sampleIDs(body []byte) []string {
	ids := []string{}
	message := &pushv1.PushRequest{}
	if proto.Unmarshal(body, message) != nil {
		return ids
	}
	for _, series := range message.GetSeries() {
		for _, sample := range series.GetSamples() {
			ids = append(ids, sample.GetID())
		}
	}
	return ids
}

// statusTap remembers the status of an answer.
type statusTap struct {
	http.ResponseWriter
	status int
}

func (t *statusTap) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *statusTap) Write(data []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	return t.ResponseWriter.Write(data)
}

// Unwrap lets http.ResponseController reach what is behind.
func (t *statusTap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

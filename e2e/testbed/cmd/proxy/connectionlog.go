package main

import (
	"encoding/json"
	"net/http"
	"sync"
)

// maxConnections bounds the log.
const maxConnections = 50_000

// connection is one request to be let through.
type connection struct {
	// Way is forward, connect or socks.
	Way    string `json:"way"`
	Client string `json:"client"`
	// Target is host:port.
	Target  string `json:"target"`
	Allowed bool   `json:"allowed"`
}

type connectionLog struct {
	mu   sync.Mutex
	seen []connection
}

func (l *connectionLog) add(c connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) < maxConnections {
		l.seen = append(l.seen, c)
	}
}

func (l *connectionLog) serveJSON(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(append([]connection{}, l.seen...)) // the test has gone, if anything
}

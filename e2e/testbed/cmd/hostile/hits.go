package main

import (
	"log"
	"sync"
)

// hit counts the requests of one kind.
type hit struct {
	Requests int `json:"requests"`
	// Busy is how many are being answered at this moment.
	Busy int `json:"busy"`
}

type report struct {
	Kinds map[string]hit `json:"kinds"`
	// Canary is how many connections came to where only a redirect leads.
	Canary int `json:"canary"`
}

// hits is what the tests ask: was everything really asked, and is it over?
type hits struct {
	mu     sync.Mutex
	byKind map[string]*hit
	lured  int
}

func newHits() *hits { return &hits{byKind: map[string]*hit{}} }

// begin counts a request; the function it returns ends it.
func (h *hits) begin(kind string) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	entry := h.byKind[kind]
	if entry == nil {
		entry = &hit{}
		h.byKind[kind] = entry
	}
	entry.Requests++
	entry.Busy++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		entry.Busy--
	}
}

// count is the number of requests of the kind so far.
func (h *hits) count(kind string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byKind[kind].Requests
}

func (h *hits) canary(from string) {
	log.Printf("the canary was hit from %s", from)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lured++
}

func (h *hits) report() report {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := report{Kinds: map[string]hit{}, Canary: h.lured}
	for kind, entry := range h.byKind {
		r.Kinds[kind] = *entry
	}
	return r
}

package main

import (
	"sync"
	"time"
)

// mostArrivals bounds what is remembered of one path of a target: a day at 3 s.
const mostArrivals = 1 << 15

// target is one path at one address.
type target struct {
	answers [][]byte

	mutex    sync.Mutex
	arrivals []int64 // unix nanoseconds
	wrapped  int     // requests for which the recording was too short
}

// next notes a request and returns the answer for it; the last one again when there are no more.
func (t *target) next(at time.Time) []byte {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	number := len(t.arrivals) + t.wrapped
	if number < mostArrivals {
		t.arrivals = append(t.arrivals, at.UnixNano())
	}
	if number >= len(t.answers) {
		t.wrapped++
		return t.answers[len(t.answers)-1]
	}
	return t.answers[number]
}

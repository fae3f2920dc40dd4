package workload

import "sync"

// ring keeps the latest values alive, so that the in-use columns of the memory
// profile are neither zero nor growing.
type ring[T any] struct {
	mu     sync.Mutex
	values []T
	next   int
}

func newRing[T any](size int) *ring[T] {
	return &ring[T]{values: make([]T, size)}
}

func (r *ring[T]) add(v T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values[r.next] = v
	r.next = (r.next + 1) % len(r.values)
}

// Package workload is what the demo app does with its time: small services
// that compute, allocate, wait for locks and wait for each other, so that each
// of Go's profiles has something to say and differs every few seconds.
//
// The budget is wall-clock time, not iterations: a slower machine does less
// work and not more CPU. Measured with /proc/PID/stat on 2 cores: see cmd/demoapp.
package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Pace of the services. Eight requests a second that spend 3 ms each give
// about five samples in a CPU profile of 2 s (100 Hz) for 2.4 % of a core.
const (
	requestEvery = 125 * time.Millisecond
	roundEvery   = 100 * time.Millisecond
)

// Workload starts the goroutines of one service; they end with ctx.
type Workload func(ctx context.Context)

var workloads = map[string]Workload{
	"checkout": checkout,
	"payments": payments,
}

// Named returns the workload of that name.
func Named(name string) (Workload, error) {
	if w, ok := workloads[name]; ok {
		return w, nil
	}
	return nil, fmt.Errorf("unknown workload %q, known are %v", name, slices.Sorted(maps.Keys(workloads)))
}

// every calls do once per period. It sleeps instead of using a Ticker, because
// waiting for a Ticker's channel would drown the block profile.
func every(ctx context.Context, period time.Duration, do func()) {
	for ctx.Err() == nil {
		do()
		time.Sleep(period)
	}
}

// spend repeats step until d has passed.
func spend(d time.Duration, step func()) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		step()
	}
}

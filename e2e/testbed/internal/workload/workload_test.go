package workload

import (
	"bytes"
	"context"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

func TestNamed(t *testing.T) {
	for name, known := range map[string]bool{"checkout": true, "payments": true, "": false, "shipping": false} {
		if _, err := Named(name); (err == nil) != known {
			t.Errorf("Named(%q): %v, want known=%v", name, err, known)
		}
	}
}

// Both workloads run in one process here: their names must tell them apart.
func TestProfilesNameTheWorkloads(t *testing.T) {
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for _, start := range workloads {
		start(ctx)
	}
	for name, wanted := range map[string][]string{
		"mutex":     {"reserveStock", "closeBooks"},
		"block":     {"(*shop).handle", "(*bank).handle"},
		"goroutine": {"(*shop).ship", "(*bank).settleBatches"},
	} {
		t.Run(name, func(t *testing.T) {
			deadline := time.Now().Add(10 * time.Second)
			for !hasFunctions(t, name, wanted) {
				if time.Now().After(deadline) {
					t.Fatalf("profile %s never named all of %v", name, wanted)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
}

func hasFunctions(t *testing.T, profileName string, wanted []string) bool {
	t.Helper()
	var body bytes.Buffer
	if err := pprof.Lookup(profileName).WriteTo(&body, 0); err != nil {
		t.Fatal(err)
	}
	p, err := profile.Parse(&body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range wanted {
		found := false
		for _, f := range p.Function {
			found = found || strings.HasSuffix(f.Name, want)
		}
		if !found {
			return false
		}
	}
	return true
}

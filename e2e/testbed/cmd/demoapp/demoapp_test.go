package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/pprof/profile"

	"pyroscope-operator.dev/e2e/testbed/internal/recording"
)

func serve(t *testing.T, prefix, dir string) string {
	t.Helper()
	var rec *recorder
	if dir != "" {
		var err error
		if rec, err = newRecorder(dir); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(newHandler(prefix, newRequestLog(rec)))
	t.Cleanup(server.Close)
	return server.URL
}

func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func TestServedPaths(t *testing.T) {
	url := serve(t, "/internal/", "")
	tests := []struct {
		path    string
		status  int
		profile bool
	}{
		{"/debug/pprof/", 200, false},
		{"/debug/pprof/allocs", 200, true},
		{"/debug/pprof/mutex", 200, true},
		{"/debug/pprof/delta_heap", 200, true},
		{"/debug/pprof/profile?seconds=1", 200, true},
		{"/debug/fgprof?seconds=1", 200, true},
		{"/debug/pprof/nonsense", 404, false},
		{"/internal/debug/pprof/goroutine", 200, true},
		{"/other/debug/pprof/goroutine", 404, false},
		{"/-/ready", 200, false},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			t.Parallel()
			status, body := get(t, url+tt.path)
			if status != tt.status {
				t.Fatalf("status %d, want %d", status, tt.status)
			}
			if _, err := profile.ParseData(body); tt.profile && err != nil {
				t.Errorf("not a profile: %v", err)
			}
		})
	}
}

func TestRequestLog(t *testing.T) {
	url := serve(t, "", "")
	get(t, url+"/debug/pprof/allocs?gc=1")
	get(t, url+"/-/ready") // not logged
	get(t, url+"/debug/pprof/nonsense")
	_, body := get(t, url+"/-/requests?since=0")
	var entries []entry
	if err := json.Unmarshal(body, &entries); err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Fatalf("%d entries, want 2: %s", len(entries), body)
	}
	first, second := entries[0], entries[1]
	if first.Seq != 1 || first.Path != "/debug/pprof/allocs" || first.Query != "gc=1" || first.Status != 200 || first.Bytes == 0 {
		t.Errorf("first entry: %+v", first)
	}
	if second.Seq != 2 || second.Status != 404 || second.UnixNano < first.UnixNano {
		t.Errorf("second entry: %+v", second)
	}
	if _, body := get(t, url+"/-/requests?since=2"); string(body) != "[]\n" {
		t.Errorf("nothing is newer than 2, got %s", body)
	}
	if status, _ := get(t, url+"/-/requests?since=x"); status != 400 {
		t.Errorf("since=x: status %d, want 400", status)
	}
}

// One process plays many targets, each at an address of its own.
func TestRequestLogTellsTheAddress(t *testing.T) {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: newHandler("", newRequestLog(nil))}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	hosts := []string{"127.0.71.1", "127.0.71.2"}
	for _, host := range hosts {
		get(t, "http://"+net.JoinHostPort(host, port)+"/debug/pprof/goroutine")
	}
	_, body := get(t, "http://"+net.JoinHostPort("127.0.0.1", port)+"/-/requests")
	var entries []entry
	if err := json.Unmarshal(body, &entries); err != nil {
		t.Fatal(err)
	}
	for i, host := range hosts {
		if len(entries) != len(hosts) || entries[i].Host != host {
			t.Fatalf("want requests to %v, got %s", hosts, body)
		}
	}
}

// Only complete successful answers are recorded, byte for byte as served.
func TestRecording(t *testing.T) {
	dir := t.TempDir()
	url := serve(t, "", dir)
	get(t, url+"/debug/pprof/nonsense")
	_, served := get(t, url+"/debug/pprof/allocs")
	lines, err := recording.ReadIndex(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1 || lines[0].File != "00000002-_debug_pprof_allocs.pb.gz" {
		t.Fatalf("index: %+v", lines)
	}
	recorded, err := recording.ReadBody(dir, lines[0])
	if err != nil {
		t.Fatal(err)
	}
	if string(recorded) != string(served) {
		t.Error("the record is not what was served")
	}
	if _, err := newRecorder(dir); err == nil {
		t.Error("a second process must not record into the same directory")
	}
}

func TestConcurrentCPUProfiles(t *testing.T) {
	log := newRequestLog(nil)
	inside, leave := make(chan struct{}), make(chan struct{})
	handler := log.watch(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside <- struct{}{}
		<-leave
	}))
	done := make(chan struct{})
	for range 2 {
		go func() {
			r := httptest.NewRequest(http.MethodGet, "/debug/pprof/profile", nil)
			handler.ServeHTTP(httptest.NewRecorder(), r)
			done <- struct{}{}
		}()
		<-inside
	}
	close(leave)
	<-done
	<-done
	sum := 0
	for _, e := range log.after(0) {
		sum += e.ConcurrentCPU
	}
	if sum != 1 {
		t.Errorf("the second of two profiles must have met one, got %d", sum)
	}
}

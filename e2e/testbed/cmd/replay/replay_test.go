package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func start(t *testing.T, delay time.Duration) (*server, string) {
	t.Helper()
	folder := t.TempDir()
	for number, body := range []string{"one", "two"} {
		file := filepath.Join(folder, "allocs", fmt.Sprintf("%03d.http", number))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if err := os.WriteFile(file, []byte(answer), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	answers, err := load(folder)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := newServer(answers, delay)
	go s.serve(l)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return s, port
}

func get(t *testing.T, host, port, path string) (int, string) {
	t.Helper()
	answer, err := http.Get("http://" + net.JoinHostPort(host, port) + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestEveryTargetHasASeriesOfItsOwn(t *testing.T) {
	s, port := start(t, 0)
	for _, wanted := range []string{"one", "two"} {
		for _, host := range []string{"127.0.0.1", "127.7.8.9"} {
			if _, body := get(t, host, port, "/debug/pprof/allocs"); body != wanted {
				t.Errorf("%s: %q instead of %q", host, body, wanted)
			}
		}
	}
	if stats := s.stats(); stats.Requests != 4 || stats.Wrapped != 0 {
		t.Errorf("%+v", stats)
	}
	if _, body := get(t, "127.0.0.1", port, "/debug/pprof/allocs"); body != "two" {
		t.Errorf("after the end: %q", body)
	}
	if stats := s.stats(); stats.Wrapped != 1 {
		t.Errorf("the recording has ended: %+v", stats)
	}
}

func TestArrivalsAreKept(t *testing.T) {
	s, port := start(t, 0)
	before := time.Now().UnixNano()
	get(t, "127.0.0.2", port, "/debug/pprof/allocs")
	between := time.Now().UnixNano()
	get(t, "127.0.0.2", port, "/debug/pprof/allocs")
	found := s.arrivals(before)
	if len(found) != 1 || found[0].Address != "127.0.0.2" || found[0].Path != "/debug/pprof/allocs" || len(found[0].At) != 2 {
		t.Fatalf("%+v", found)
	}
	if at := found[0].At; at[0] < before || at[0] > between || at[1] < between {
		t.Errorf("%d, %d: %v", before, between, at)
	}
	if later := s.arrivals(between); len(later[0].At) != 1 {
		t.Errorf("%+v", later)
	}
}

func TestSecondsAreWaited(t *testing.T) {
	_, port := start(t, 0)
	started := time.Now()
	if status, _ := get(t, "127.0.0.1", port, "/debug/pprof/allocs?seconds=1"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if took := time.Since(started); took < time.Second {
		t.Errorf("answered after %s", took)
	}
}

func TestUnknownPathsAndWhatIsNoGet(t *testing.T) {
	_, port := start(t, time.Millisecond)
	if status, _ := get(t, "127.0.0.1", port, "/debug/pprof/heap"); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
	for _, request := range []string{"POST / HTTP/1.1\r\n\r\n", "GET /debug/pprof/allocs?seconds=x HTTP/1.1\r\n\r\n"} {
		c, err := net.Dial("tcp4", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, request)
		if _, err := bufio.NewReader(c).ReadByte(); err == nil {
			t.Errorf("%q was answered", request)
		}
	}
}

func TestARequestInPieces(t *testing.T) {
	_, port := start(t, 0)
	c, err := net.Dial("tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	long := make([]byte, 2*headSize)
	for at := range long {
		long[at] = 'x'
	}
	for _, piece := range []string{"GET /debug/pprof/allocs HT", "TP/1.1\r\nX: " + string(long), "\r\n\r\n"} {
		fmt.Fprint(c, piece)
		time.Sleep(10 * time.Millisecond)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
}

func TestNoRecording(t *testing.T) {
	if _, err := load(t.TempDir()); err == nil {
		t.Error("an empty folder was taken")
	}
}

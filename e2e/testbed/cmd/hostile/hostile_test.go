package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

const canary = "127.0.0.99"

func serve(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(l, canary)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.serve() }()
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// get asks once, on a connection of its own, and neither decompresses nor follows anything.
func get(t *testing.T, address, kind, path string) (*http.Response, []byte, error) {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       5 * time.Second,
	}
	response, err := client.Get("http://" + address + "/hostile/" + kind + "/debug/pprof/" + path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 32<<20))
	return response, body, err
}

func TestValidKinds(t *testing.T) {
	address := serve(t)
	kinds := []string{"good", "raw", "slow", "closes", "until-close", "odd-headers", "trailers", "labels", "many-labels",
		"negative", "old", "future", "gzip-members", "no-period-type", "unknown-fields", "overflow", "two-answers"}
	for _, kind := range kinds {
		for path, types := range map[string]int{"goroutine": 1, "allocs": 4} {
			t.Run(kind+"/"+path, func(t *testing.T) {
				t.Parallel()
				_, body, err := get(t, address, kind, path)
				if err != nil {
					t.Fatal(err)
				}
				p, err := profile.ParseData(body)
				if err != nil {
					t.Fatal(err)
				}
				if len(p.SampleType) != types || len(p.Sample) == 0 {
					t.Errorf("%d sample types, %d samples", len(p.SampleType), len(p.Sample))
				}
			})
		}
	}
}

func TestCountersGrow(t *testing.T) {
	address := serve(t)
	before := int64(0)
	for range 3 {
		_, body, err := get(t, address, "good", "allocs")
		if err != nil {
			t.Fatal(err)
		}
		p, err := profile.ParseData(body)
		if err != nil {
			t.Fatal(err)
		}
		if value := p.Sample[0].Value[0]; value <= before {
			t.Errorf("%d after %d", value, before)
		} else {
			before = value
		}
	}
}

func TestWhatIsNoProfile(t *testing.T) {
	address := serve(t)
	kinds := []string{"html", "json", "text", "empty", "other-protobuf", "random", "wrong-types", "unknown-location",
		"unknown-function", "same-id-twice", "unknown-string", "negative-string", "values-missing",
		"garbage-behind-raw", "gzip-truncated", "gzip-corrupt", "garbage-behind-gzip"}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			response, body, err := get(t, address, kind, "goroutine")
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatal(response, err)
			}
			if p, err := profile.ParseData(body); err == nil && p.CheckValid() == nil && len(p.Sample) > 0 {
				t.Errorf("it is a profile after all: %v", p)
			}
		})
	}
}

func TestErrorsOfTheConnection(t *testing.T) {
	address := serve(t)
	for kind, want := range map[string]string{
		"reset":                "connection reset",
		"hang-up":              "EOF",
		"truncated":            "unexpected EOF",
		"truncated-chunks":     "unexpected EOF",
		"reset-later":          "connection reset",
		"ssh":                  "malformed HTTP",
		"tls-alert":            "malformed HTTP",
		"chunk-size":           "invalid byte in chunk length",
		"length-text":          "Content-Length",
		"header-without-colon": "malformed MIME header",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			_, _, err := get(t, address, kind, "goroutine")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	address := serve(t)
	for _, kind := range []string{"black-hole", "black-hole-later", "slow-body", "slow-header", "slow-informational", "huge-length"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			conn := ask(t, address, kind)
			_ = conn.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
			_, err := io.ReadAll(conn)
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("it ended: %v", err)
			}
		})
	}
}

func TestFloodsGoOn(t *testing.T) {
	address := serve(t)
	for kind := range floods {
		if !strings.HasPrefix(kind, "endless-") {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			conn := ask(t, address, kind)
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, err := io.CopyN(io.Discard, conn, 20<<20); err != nil {
				t.Errorf("after %d bytes: %v", n, err)
			}
		})
	}
}

func ask(t *testing.T, address, kind string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET /hostile/%s/debug/pprof/goroutine HTTP/1.1\r\nHost: %s\r\n\r\n", kind, address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestBombIsTenGigabytes(t *testing.T) {
	if size := len(bomb()); size < 9<<20 || size > 12<<20 {
		t.Errorf("the bomb has %d bytes", size)
	}
	reader, err := gzip.NewReader(bytes.NewReader(bomb()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, reader, 200*stretch); err != nil {
		t.Errorf("the beginning is no valid gzip: %v", err)
	}
	// All pieces but the first are the same and follow each other in the way that was just read.
	if total := (1 + stretches) * stretch; total < 10e9 {
		t.Errorf("%d bytes when unpacked", total)
	}
}

func TestCrowdsAreLargeAndTravelSmall(t *testing.T) {
	address := serve(t)
	for kind := range bodies {
		if !strings.HasPrefix(kind, "many-") || kind == "many-labels" {
			continue
		}
		_, body, err := get(t, address, kind, "allocs")
		if err != nil {
			t.Fatal(kind, err)
		}
		reader, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(kind, err)
		}
		size, err := io.Copy(io.Discard, reader)
		if err != nil || size < crowd/100*99 || size > 16<<20 || len(body) > 200_000 {
			t.Errorf("%s: %d bytes, unpacked %d, %v", kind, len(body), size, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	address := serve(t)
	for kind, want := range map[string]string{
		"redirect-loop":      "/hostile/redirect-loop/",
		"redirect-elsewhere": canary,
		"redirect-home":      "/hostile/good/debug/pprof/goroutine",
		"redirect-scheme":    "ftp://",
		"endless-redirect":   "/hostile/good/",
	} {
		response, _, err := get(t, address, kind, "goroutine")
		if kind != "endless-redirect" && err != nil {
			t.Fatal(kind, err)
		}
		if location := response.Header.Get("Location"); response.StatusCode != http.StatusFound || !strings.Contains(location, want) {
			t.Errorf("%s: %s %q", kind, response.Status, location)
		}
	}
}

func TestHits(t *testing.T) {
	address := serve(t)
	for range 3 {
		_, _, _ = get(t, address, "html", "goroutine")
	}
	waiting := ask(t, address, "black-hole")
	if hit := eventually(t, address, func(r report) bool { return r.Kinds["black-hole"].Busy == 1 }); hit.Kinds["html"].Requests != 3 {
		t.Errorf("%+v", hit)
	}
	_ = waiting.Close()
	eventually(t, address, func(r report) bool { return r.Kinds["black-hole"].Busy == 0 })
}

// eventually asks for the hits until they are as they should be.
func eventually(t *testing.T, address string, done func(report) bool) report {
	t.Helper()
	for range 100 {
		response, err := http.Get("http://" + address + "/-/hits")
		if err != nil {
			t.Fatal(err)
		}
		var r report
		err = json.NewDecoder(response.Body).Decode(&r)
		_ = response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if done(r) {
			return r
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("it never came")
	return report{}
}

func TestCanaryCountsConnections(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(l, canary)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.serve() }()
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	conn, err := net.Dial("tcp", net.JoinHostPort(canary, port))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Read(make([]byte, 1)) // it hangs up
	if hits := s.hits.report().Canary; hits != 1 {
		t.Errorf("%d hits", hits)
	}
}

func TestPortsOfTheirOwn(t *testing.T) {
	address := serve(t)
	response, err := http.Get("http://" + address + "/-/addresses")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var addresses map[string]string
	if err := json.NewDecoder(response.Body).Decode(&addresses); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.DialTimeout("tcp", addresses["never-accepted"], dialled); err == nil {
		_ = conn.Close()
		t.Error("somebody accepts")
	}
}

func TestUnknownKind(t *testing.T) {
	response, _, err := get(t, serve(t), "polite", "goroutine")
	if err != nil || response.StatusCode != http.StatusNotImplemented {
		t.Error(response, err)
	}
}

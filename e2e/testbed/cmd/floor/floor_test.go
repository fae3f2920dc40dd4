package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"google.golang.org/protobuf/proto"
)

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var body bytes.Buffer
	w := gzip.NewWriter(&body)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body.Bytes()
}

func TestAScrapeIsOnePush(t *testing.T) {
	pushed := make(chan *pushv1.PushRequest, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/allocs", func(w http.ResponseWriter, _ *http.Request) { w.Write(packed(t, "allocs")) })
	mux.HandleFunc("GET /debug/pprof/mutex", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("no gzip")) })
	mux.HandleFunc("POST /push.v1.PusherService/Push", func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		request := new(pushv1.PushRequest)
		if err := proto.Unmarshal(body, request); err != nil {
			t.Error(err)
		}
		pushed <- request
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	s := newScraper(server.URL + "/")
	address := strings.TrimPrefix(server.URL, "http://")
	for _, name := range []string{"memory", "mutex", "block"} {
		l, err := newLoop(s, target{address, 0}, name, 15*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		s.scrape(l)
	}
	if found := s.stats(); found.Requests != 3 || found.Errors != 2 || found.Pushes != 1 || found.PushErrors != 0 {
		t.Errorf("%+v", found)
	}
	request := <-pushed
	if len(request.Series) != 1 || len(request.Series[0].Samples) != 1 {
		t.Fatal(request)
	}
	series, labels := request.Series[0], map[string]string{}
	for _, label := range series.Labels {
		labels[label.Name] = label.Value
	}
	if labels["__name__"] != "memory" || labels["__delta__"] != "false" || labels["instance"] != address {
		t.Error(labels)
	}
	if len(series.Samples[0].ID) != idSize || strings.Count(series.Samples[0].ID, "-") != 4 {
		t.Error(series.Samples[0].ID)
	}
	r, err := gzip.NewReader(bytes.NewReader(series.Samples[0].RawProfile))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := io.ReadAll(r); err != nil || string(raw) != "allocs" {
		t.Error(string(raw), err)
	}
}

func TestSlotsArePinned(t *testing.T) {
	l := &loop{offset: 3 * time.Second, interval: 15 * time.Second}
	for now, wanted := range map[int64]time.Duration{15: 3 * time.Second, 3: 15 * time.Second, 17: time.Second, 1500: 3 * time.Second} {
		if found := l.untilNext(time.Unix(now, 0)); found != wanted {
			t.Errorf("at %d: %s instead of %s", now, found, wanted)
		}
	}
}

func TestTimedProfilesAskForSeconds(t *testing.T) {
	l, err := newLoop(newScraper(""), target{"127.0.0.1:1", 0}, "process_cpu", 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if l.request.URL.String() != "http://127.0.0.1:1/debug/pprof/profile?seconds=14" || l.timeout != 29*time.Second {
		t.Error(l.request.URL, l.timeout)
	}
}

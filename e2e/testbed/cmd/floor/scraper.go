package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"pyroscope-operator.dev/e2e/testbed/internal/cpu"
)

const (
	mostBody  = 16 << 20
	pushLimit = 10 * time.Second
)

var errTooLarge = errors.New("body too large")

type stats struct {
	Requests   int64   `json:"requests"`
	Errors     int64   `json:"errors"`
	Pushes     int64   `json:"pushes"`
	PushErrors int64   `json:"pushErrors"`
	CPUSeconds float64 `json:"cpuSeconds"`
}

// work is what one scrape needs while it has something to do, and the next one reuses.
type work struct {
	body, raw, packed bytes.Buffer
	request           []byte
	reader            gzip.Reader
	writer            *gzip.Writer
}

type scraper struct {
	targets, receiver                    *http.Client
	push                                 string
	works                                sync.Pool
	requests, errors, pushes, pushErrors atomic.Int64
}

func newScraper(push string) *scraper {
	return &scraper{
		targets:  client(8),
		receiver: client(256),
		push:     strings.TrimSuffix(push, "/") + "/push.v1.PusherService/Push",
		works:    sync.Pool{New: func() any { return &work{writer: gzip.NewWriter(nil)} }},
	}
}

// client keeps as many idle connections to a host as it has use for.
func client(perHost int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: perHost,
		IdleConnTimeout:     5 * time.Minute,
		DisableCompression:  true,
	}}
}

func (s *scraper) stats() stats {
	return stats{s.requests.Load(), s.errors.Load(), s.pushes.Load(), s.pushErrors.Load(), cpu.Seconds()}
}

func (s *scraper) scrape(l *loop) {
	s.requests.Add(1)
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
	defer cancel()
	answer, err := s.targets.Do(l.request.WithContext(ctx))
	if err != nil {
		s.errors.Add(1)
		return
	}
	// Not before the answer is there: thousands wait for their CPU profiles.
	w := s.works.Get().(*work)
	defer s.works.Put(w)
	profile, err := w.profile(answer, l.cumulative)
	if err != nil {
		s.errors.Add(1)
		return
	}
	s.pushes.Add(1)
	w.request = appendRequest(w.request[:0], l.labels, profile)
	if err := s.send(w.request); err != nil {
		s.pushErrors.Add(1)
	}
}

// profile reads the answer and returns what to send, which is valid until w is used again.
func (w *work) profile(answer *http.Response, cumulative bool) ([]byte, error) {
	defer answer.Body.Close()
	w.body.Reset()
	n, err := w.body.ReadFrom(io.LimitReader(answer.Body, mostBody))
	switch {
	case err != nil:
		return nil, err
	case n == mostBody:
		return nil, errTooLarge
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("HTTP status %d", answer.StatusCode)
	case cumulative:
		return w.anew()
	}
	return w.body.Bytes(), nil
}

// anew undoes gzip and makes it again: what a difference would need around it.
func (w *work) anew() ([]byte, error) {
	if err := w.reader.Reset(&w.body); err != nil {
		return nil, err
	}
	w.raw.Reset()
	if _, err := w.raw.ReadFrom(io.LimitReader(&w.reader, mostBody)); err != nil {
		return nil, err
	}
	w.packed.Reset()
	w.writer.Reset(&w.packed)
	if _, err := w.writer.Write(w.raw.Bytes()); err != nil {
		return nil, err
	}
	if err := w.writer.Close(); err != nil {
		return nil, err
	}
	return w.packed.Bytes(), nil
}

func (s *scraper) send(body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), pushLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.push, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "floor")
	request.Header.Set("Content-Type", "application/proto")
	request.Header.Set("Connect-Protocol-Version", "1")
	answer, err := s.receiver.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d", answer.StatusCode)
	}
	return nil
}

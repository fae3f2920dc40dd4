package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"connectrpc.com/connect"
)

// fault is what POST /api/fault asks for: the next Count push requests
// are delayed and then answered with a plain HTTP status, or with a connect
// error, or taken without an answer. With Match it hits, inside these requests,
// only the series with these labels, which fail with Code or, without one,
// uncoded, as an error inside the server would; or which cannot be parsed.
type fault struct {
	Count      int               `json:"count"`
	DelayMS    int               `json:"delayMs,omitempty"`
	Status     int               `json:"status,omitempty"`
	Code       string            `json:"code,omitempty"`
	Message    string            `json:"message,omitempty"`
	RetryAfter string            `json:"retryAfter,omitempty"`
	Location   string            `json:"location,omitempty"` // of a redirect
	DropAfter  bool              `json:"dropAfter,omitempty"`
	Match      map[string]string `json:"match,omitempty"`
	Unparsable bool              `json:"unparsable,omitempty"`
}

func (f *fault) validate() error {
	if f.Code != "" {
		var code connect.Code
		if err := code.UnmarshalText([]byte(f.Code)); err != nil {
			return err
		}
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("status %d cannot be answered", f.Status)
	}
	if f.Unparsable && f.Match == nil {
		return errors.New("unparsable needs a match")
	}
	return nil
}

// err is the fault as a Go error; validate made sure that the code is one.
func (f *fault) err() error {
	text := f.Message
	if text == "" {
		text = "injected fault"
	}
	if f.Code == "" {
		return errors.New(text)
	}
	var code connect.Code
	_ = code.UnmarshalText([]byte(f.Code))
	return connect.NewError(code, errors.New(text))
}

// faults holds the one active fault.
type faults struct {
	mu     sync.Mutex
	active fault
}

func (f *faults) set(next fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = next
}

// take uses up one count of the active fault; nil if there is none left.
func (f *faults) take() *fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active.Count <= 0 {
		return nil
	}
	f.active.Count--
	taken := f.active
	return &taken
}

type contextKey string

const (
	requestKey contextKey = "request"
	faultKey   contextKey = "fault"
)

// requestNumber returns which push request this is.
func requestNumber(ctx context.Context) int {
	n, _ := ctx.Value(requestKey).(int)
	return n
}

// forSeries returns the error with which a series with these labels fails, at
// parsing it or when it is pushed.
func (f *faults) forSeries(ctx context.Context, labels map[string]string, parsing bool) error {
	hit, _ := ctx.Value(faultKey).(*fault)
	if hit == nil || hit.Match == nil || hit.Unparsable != parsing || !matches(labels, hit.Match) {
		return nil
	}
	return hit.err()
}

// wrap numbers and notes every push request and lets the active fault have it.
func (f *faults) wrap(next http.Handler, kept *store, log *attempts) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hit := f.take()
		current := kept.update(func(s *stats) {
			s.Requests++
			if hit != nil {
				s.Faulted++
			}
		})
		tap := &statusTap{ResponseWriter: w}
		begun, err := log.begin(r, current.Requests, hit != nil)
		defer func() { log.end(begun, tap.status) }() // a panic, by which nothing is answered, comes this way too
		if err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
		ctx := context.WithValue(r.Context(), requestKey, current.Requests)
		if hit == nil {
			next.ServeHTTP(tap, r.WithContext(ctx))
			return
		}
		ctx = context.WithValue(ctx, faultKey, hit)
		hit.serve(tap, r.WithContext(ctx), next)
	})
}

func (f *fault) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	f.delay(r)
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Location != "" {
		w.Header().Set("Location", f.Location)
	}
	switch {
	case f.DropAfter:
		next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // closes the connection
	case f.Status != 0:
		http.Error(w, f.err().Error(), f.Status)
	case f.Code != "" && f.Match == nil:
		_ = connect.NewErrorWriter().Write(w, r, f.err())
	default:
		next.ServeHTTP(w, r)
	}
}

// delay gives up, and nothing is taken, when the client leaves before it is over.
func (f *fault) delay(r *http.Request) {
	if f.DelayMS == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(f.DelayMS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-timer.C:
	}
}

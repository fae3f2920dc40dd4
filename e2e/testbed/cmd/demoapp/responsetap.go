package main

import (
	"bytes"
	"net/http"
)

// responseTap notes what a handler answered and, if keep is set, its body.
type responseTap struct {
	http.ResponseWriter
	keep    bool
	body    bytes.Buffer
	status  int
	written int
	err     error // the first failed write: the client did not get the body
}

func (t *responseTap) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *responseTap) Write(p []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	n, err := t.ResponseWriter.Write(p)
	if t.keep {
		t.body.Write(p[:n])
	}
	t.written += n
	if t.err == nil {
		t.err = err
	}
	return n, err
}

// Unwrap is for http.ResponseController.
func (t *responseTap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// statusCode is 200 for a handler that wrote nothing, as net/http does it.
func (t *responseTap) statusCode() int {
	if t.status == 0 {
		return http.StatusOK
	}
	return t.status
}

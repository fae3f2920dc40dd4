package main

import (
	"fmt"
	"strings"

	"pyroscope-operator.dev/e2e/testbed/internal/recording"
)

// recorder keeps a copy of the bodies that clients received completely.
type recorder struct {
	out *recording.Writer
}

func newRecorder(dir string) (*recorder, error) {
	out, err := recording.Create(dir)
	if err != nil {
		return nil, err
	}
	return &recorder{out: out}, nil
}

func (r *recorder) record(e entry, body []byte) error {
	return r.out.Add(recording.Line{
		Seq:      e.Seq,
		Path:     e.Path,
		Query:    e.Query,
		UnixNano: e.UnixNano,
		File:     fmt.Sprintf("%08d-%s.pb.gz", e.Seq, strings.ReplaceAll(e.Path, "/", "_")),
	}, body)
}

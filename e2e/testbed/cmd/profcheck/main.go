// Command profcheck proves that the profiles which arrived at cmd/receiver are
// exactly the differences of what cmd/demoapp served:
//
//	profcheck deltas --recorded DIR [--recorded DIR] --path /debug/pprof/allocs \
//	    --receiver http://127.0.0.1:4040 --label service_name=x --label __name__=memory
//
// It is written with google/pprof and shares nothing with the operator. The
// report is JSON on stdout; the status is 0 if everything matched, 1 if not
// and 2 if the check could not be made.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	exitOK = iota
	exitMismatch
	exitUsage
)

type options struct {
	recorded    []string // one directory per life of the process
	path        string
	receiver    string
	labels      map[string]string
	minReceived int
	compact     bool
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	o := options{labels: map[string]string{}}
	if len(args) == 0 || args[0] != "deltas" {
		return o, errors.New("usage: profcheck deltas --recorded DIR --path PATH --receiver URL --label NAME=VALUE …")
	}
	flags := flag.NewFlagSet("profcheck deltas", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("recorded", "`directory` of demoapp --record; once per process life", func(dir string) error {
		o.recorded = append(o.recorded, dir)
		return nil
	})
	flags.Func("label", "`name=value` that the received profiles have; repeatable", func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("not name=value")
		}
		o.labels[name] = value
		return nil
	})
	flags.StringVar(&o.path, "path", "/debug/pprof/allocs", "path the recorded profiles were served at")
	flags.StringVar(&o.receiver, "receiver", "", "base URL of the receiver")
	flags.IntVar(&o.minReceived, "min-received", 2, "fail with fewer received profiles")
	flags.BoolVar(&o.compact, "json", false, "report on one line")
	if err := flags.Parse(args[1:]); err != nil {
		return o, err
	}
	if len(o.recorded) == 0 || o.receiver == "" || len(o.labels) == 0 || flags.NArg() > 0 {
		return o, errors.New("--recorded, --receiver and --label are needed, and no other arguments")
	}
	return o, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	result, err := checkDeltas(o)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	encoder := json.NewEncoder(stdout)
	if !o.compact {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(result); err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	if !result.OK {
		return exitMismatch
	}
	return exitOK
}

// checkDeltas reads both sides and compares them.
func checkDeltas(o options) (*report, error) {
	var lives []*life
	for _, dir := range o.recorded {
		l, err := readLife(dir, o.path)
		if err != nil {
			return nil, err
		}
		lives = append(lives, l)
	}
	received, err := readReceived(o.receiver, o.labels)
	if err != nil {
		return nil, err
	}
	return compare(lives, received, o.minReceived), nil
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Command demoapp is a profiled Go service for the end-to-end tests: it serves
// net/http/pprof, fgprof and godeltaprof while a small workload runs, says what
// was asked of it (GET /-/requests?since=SEQ) and can keep a copy of every
// profile it served (--record), which cmd/profcheck compares with what arrived.
//
// CPU, measured with /proc/PID/stat over 40 s on 2 cores: checkout 3.0 %, payments
// 3.3 % of a core; a CPU profile of 2 s has 4 to 6 samples. RSS is 22 MB.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"pyroscope-operator.dev/e2e/testbed/internal/announce"
	"pyroscope-operator.dev/e2e/testbed/internal/workload"
)

type options struct {
	listen     string
	name       string
	record     string
	workload   string
	pathPrefix string
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:6060", "address to listen on; port 0 chooses one")
	flag.StringVar(&o.name, "name", "demoapp", "service name, for the log")
	flag.StringVar(&o.record, "record", "", "new or empty directory for a copy of every profile served")
	flag.StringVar(&o.workload, "workload", "checkout", "checkout or payments")
	flag.StringVar(&o.pathPrefix, "path-prefix", "", "serve the debug paths below this prefix too")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected arguments: %v", flag.Args())
	}
	return o
}

// enableProfiles chooses rates at which 3 s are enough to see a difference in
// every profile; the workload is small, so that it can afford them.
func enableProfiles() {
	runtime.MemProfileRate = 4096
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
}

func main() {
	enableProfiles() // before anything else allocates
	o := parseFlags()
	log.SetPrefix(o.name + ": ")
	announce.ExitOnSignal()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	start, err := workload.Named(o.workload)
	if err != nil {
		return err
	}
	var rec *recorder
	if o.record != "" {
		if rec, err = newRecorder(o.record); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	requests := newRequestLog(rec)
	server := &http.Server{
		Handler:           newHandler(o.pathPrefix, requests),
		ReadHeaderTimeout: 10 * time.Second,
	}
	start(context.Background())
	if err := announce.Listening(os.Stdout, l); err != nil {
		return err
	}
	return server.Serve(l)
}

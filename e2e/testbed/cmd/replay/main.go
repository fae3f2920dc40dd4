// Command replay is the target server of the benchmark: it answers for any number
// of targets, one for each loopback address it is asked at, with what a real
// process has answered, byte for byte. The n-th request for a path of a target
// gets the n-th answer of that path, so every target looks like a process that
// never restarts. It says when each request arrived.
//
// It is made to cost little beside what it measures: answers are kept ready as one
// slice, headers included, and HTTP is what scrapers need of it: GET on kept
// connections, one request at a time.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"pyroscope-operator.dev/e2e/testbed/internal/announce"
)

type line struct {
	announce.Line
	Control string `json:"control"`
}

func main() {
	listen := flag.String("listen", "0.0.0.0:0", "address to listen on, for all targets")
	recording := flag.String("recording", "", "folder with a folder for each profile: allocs/000.http, …")
	delay := flag.Duration("delay", 0, "longest random delay of an answer")
	flag.Parse()
	answers, err := load(*recording)
	if err != nil {
		log.Fatal(err)
	}
	announce.ExitOnSignal()
	if err := run(*listen, newServer(answers, *delay)); err != nil {
		log.Fatal(err)
	}
}

func run(listen string, s *server) error {
	l, err := net.Listen("tcp4", listen)
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	about := line{announce.Line{Listening: l.Addr().String(), PID: os.Getpid()}, control.Addr().String()}
	if err := json.NewEncoder(os.Stdout).Encode(about); err != nil {
		return err
	}
	go func() {
		figures := &http.Server{Handler: s.control(), ReadHeaderTimeout: 10 * time.Second}
		log.Fatal(figures.Serve(control))
	}()
	return s.serve(l)
}

// Command gate is one profiled process behind many doors, for the tests of how
// the operator reaches the other side: each face is a listener of its own that
// asks for another proof (credentials, a client certificate, a token), shows
// another certificate, speaks another protocol or leads elsewhere. Behind every
// face stand net/http/pprof of this process and, for pushes, a receiver.
//
// It makes all certificates itself and writes them to --certs. What came is told
// by GET /-/requests of the admin listener, credentials included: they are the
// tests' own.
package main

import (
	"context"
	"encoding/json"
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
	ip        string
	elsewhere string
	certs     string
	tokenLife time.Duration
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.ip, "ip", "127.0.0.1", "address that all faces but the one elsewhere listen on")
	flag.StringVar(&o.elsewhere, "elsewhere", "127.0.0.99", "address of another host, where redirects lead")
	flag.StringVar(&o.certs, "certs", "", "folder for certificates and keys")
	flag.DurationVar(&o.tokenLife, "token-life", time.Hour, "for how long tokens of the OAuth2 server are valid")
	flag.Parse()
	if flag.NArg() > 0 || o.certs == "" {
		log.Fatal("unexpected arguments, or no --certs")
	}
	return o
}

// line is what the program prints, once.
type line struct {
	announce.Line
	Faces map[string]string `json:"faces"`
}

func main() {
	runtime.MemProfileRate = 4096
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	o := parseFlags()
	log.SetPrefix("gate: ")
	announce.ExitOnSignal()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	g, err := newGate(o)
	if err != nil {
		return err
	}
	start, err := workload.Named("checkout")
	if err != nil {
		return err
	}
	start(context.Background())
	admin, err := net.Listen("tcp", net.JoinHostPort(o.ip, "0"))
	if err != nil {
		return err
	}
	about := line{announce.Line{Listening: admin.Addr().String(), PID: os.Getpid()}, g.addresses}
	if err := json.NewEncoder(os.Stdout).Encode(about); err != nil {
		return err
	}
	server := &http.Server{Handler: g.admin(), ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(admin)
}

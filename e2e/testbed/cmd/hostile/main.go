// Command hostile is every target that a scraper should not have to meet: below
// /hostile/KIND/ it answers in the way that KIND names (kinds.go lists them). It
// speaks HTTP by hand, since most of what it does is none.
//
// One listener on all addresses plays all kinds, so a test makes as many targets
// of it as it likes, each on a loopback address of its own. What can't be chosen by
// a path has a port of its own: GET /-/addresses. GET /-/hits says what was asked.
package main

import (
	"flag"
	"log"
	"net"
	"os"

	"pyroscope-operator.dev/e2e/testbed/internal/announce"
)

type options struct {
	listen string
	canary string
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.listen, "listen", "0.0.0.0:0", "address to listen on; port 0 chooses one")
	flag.StringVar(&o.canary, "canary", "127.0.0.99", "local address that redirects point at and nobody may come to")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected arguments: %v", flag.Args())
	}
	return o
}

func main() {
	log.SetPrefix("hostile: ")
	o := parseFlags()
	announce.ExitOnSignal()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	s, err := newServer(l, o.canary)
	if err != nil {
		return err
	}
	if err := announce.Listening(os.Stdout, l); err != nil {
		return err
	}
	return s.serve()
}

// Command proxy is a forward proxy for the end-to-end tests: HTTP (forwarding, and
// CONNECT) by github.com/elazarl/goproxy and SOCKS5 by github.com/armon/go-socks5.
// GET /-/connections of the admin listener says who was connected to what.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"pyroscope-operator.dev/e2e/testbed/internal/announce"
)

type options struct {
	ip     string
	basic  string
	denied string
	known  map[string]string
}

func parseFlags() options {
	o := options{known: map[string]string{}}
	flag.StringVar(&o.ip, "ip", "127.0.0.1", "address to listen on")
	flag.StringVar(&o.basic, "basic-auth", "", "user:password that clients must give; empty: none")
	flag.StringVar(&o.denied, "deny", "", "host to which nobody is let through")
	flag.Func("resolve", "name=address, of a host that nobody else knows", func(text string) error {
		name, address, found := strings.Cut(text, "=")
		if !found {
			return errors.New("must be name=address")
		}
		o.known[name] = address
		return nil
	})
	flag.Parse()
	if flag.NArg() > 0 || (o.basic != "" && !strings.Contains(o.basic, ":")) {
		log.Fatal("unexpected arguments, or no user:password")
	}
	return o
}

// line is what the program prints, once: the admin listener, and the two proxies.
type line struct {
	announce.Line
	HTTP  string `json:"http"`
	SOCKS string `json:"socks"`
}

func main() {
	o := parseFlags()
	log.SetPrefix("proxy: ")
	announce.ExitOnSignal()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	var listeners [3]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", net.JoinHostPort(o.ip, "0"))
		if err != nil {
			return err
		}
		listeners[i] = l
	}
	admin, web, socks := listeners[0], listeners[1], listeners[2]
	connections := &connectionLog{}
	server, err := newSocks(o, connections)
	if err != nil {
		return err
	}
	go func() { log.Fatal(server.Serve(socks)) }()
	go func() {
		proxy := &http.Server{Handler: newHTTP(o, connections), ReadHeaderTimeout: 10 * time.Second}
		log.Fatal(proxy.Serve(web))
	}()
	about := line{announce.Line{Listening: admin.Addr().String(), PID: os.Getpid()}, web.Addr().String(), socks.Addr().String()}
	if err := json.NewEncoder(os.Stdout).Encode(about); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/connections", connections.serveJSON)
	return (&http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}).Serve(admin)
}

// Command sink is where the benchmark's profiles go: it takes every push of
// push.v1 and counts what is in it, at little cost.
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

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	announce.ExitOnSignal()
	l, err := net.Listen("tcp4", *listen)
	if err != nil {
		log.Fatal(err)
	}
	if err := announce.Listening(os.Stdout, l); err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: newSink().handler(), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(l))
}

func (s *sink) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /push.v1.PusherService/Push", s.push)
	mux.HandleFunc("GET /-/stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(s.stats()); err != nil {
			log.Print(err)
		}
	})
	return mux
}

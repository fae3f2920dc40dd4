package main

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/felixge/fgprof"
	deltapprof "github.com/grafana/pyroscope-go/godeltaprof/http/pprof"
)

// newDebugMux has its own mux: the packages' init functions register on
// http.DefaultServeMux, which is not served.
func newDebugMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index) // and the named profiles
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/delta_heap", deltapprof.Heap)
	mux.HandleFunc("/debug/pprof/delta_mutex", deltapprof.Mutex)
	mux.HandleFunc("/debug/pprof/delta_block", deltapprof.Block)
	mux.Handle("/debug/fgprof", fgprof.Handler())
	return mux
}

// newHandler serves the debug paths, also below prefix when there is one, and
// the testbed's own paths below /-/, which are not logged.
func newHandler(prefix string, requests *requestLog) http.Handler {
	debug := newDebugMux()
	mux := http.NewServeMux()
	mux.Handle("/debug/", requests.watch(debug))
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		mux.Handle("/"+prefix+"/debug/", requests.watch(http.StripPrefix("/"+prefix, debug)))
	}
	mux.HandleFunc("GET /-/requests", requests.serveJSON)
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ready\n"))
	})
	return mux
}

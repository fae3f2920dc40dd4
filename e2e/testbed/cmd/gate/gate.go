package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/http/pprof"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// gate is all faces and what they have in common.
type gate struct {
	certificates *certificates
	credentials  *credentials
	tokens       *tokens
	requests     *requestLog
	addresses    map[string]string // of the faces, by name
	opened       map[string]*atomic.Int64
	upstream     atomic.Pointer[url.URL] // where pushes go
}

func newGate(o options) (*gate, error) {
	made, err := newCertificates(o.certs, o.ip, o.elsewhere, "127.0.0.1", "localhost", "gate.example")
	if err != nil {
		return nil, err
	}
	known := &credentials{}
	given, err := newTokens(known, o.tokenLife)
	if err != nil {
		return nil, err
	}
	g := &gate{
		certificates: made, credentials: known, tokens: given, requests: &requestLog{},
		addresses: map[string]string{}, opened: map[string]*atomic.Int64{},
	}
	faces := g.faces()
	listeners := map[string]net.Listener{}
	for name, f := range faces {
		ip := o.ip
		if f.elsewhere {
			ip = o.elsewhere
		}
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			return nil, err
		}
		listeners[name], g.addresses[name], g.opened[name] = l, l.Addr().String(), &atomic.Int64{}
	}
	// Faces lead to each other: all of them have addresses before one is served.
	for name, f := range faces {
		go g.serve(name, f, listeners[name])
	}
	return g, nil
}

func (g *gate) serve(name string, f face, l net.Listener) {
	server := &http.Server{
		Handler:           g.requests.watch(name, g.guarded(f)),
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         f.tls.Clone(),              // http.Server completes its own
		ErrorLog:          log.New(io.Discard, "", 0), // handshakes that fail are what it is here for
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				g.opened[name].Add(1)
			}
		},
	}
	if f.tls == nil {
		log.Fatal(server.Serve(l))
	}
	server.Protocols = f.protocols
	log.Fatal(server.Serve(tls.NewListener(l, f.tls)))
}

// guarded asks for the face's proof, then leads on or answers.
func (g *gate) guarded(f face) http.Handler {
	behind := g.behind()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch status := f.guard(r); {
		case status != http.StatusOK:
			http.Error(w, "not you: "+r.Header.Get("Authorization"), status) // bodies of errors may hold secrets
		case f.leads != nil:
			w.Header().Set("Location", f.leads(r))
			w.WriteHeader(f.status)
		case f.handler != nil:
			f.handler.ServeHTTP(w, r)
		default:
			behind.ServeHTTP(w, r)
		}
	})
}

// behind is what every face protects: this process's profiles, and a receiver. Below
// /hops/N/ it leads on N times first; anything else before these paths is left out.
func (g *gate) behind() http.Handler {
	profiles := http.NewServeMux()
	profiles.HandleFunc("/debug/pprof/", pprof.Index)
	profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
	push := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(g.upstream.Load())
			r.Out.Header.Del("Authorization")
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if next, more := hop(r.URL); more {
			http.Redirect(w, r, next, http.StatusTemporaryRedirect)
			return
		}
		if at := strings.Index(r.URL.Path, "/debug/"); at >= 0 {
			r.URL.Path = r.URL.Path[at:]
			profiles.ServeHTTP(w, r)
			return
		}
		if at := strings.Index(r.URL.Path, "/push.v1."); at >= 0 && g.upstream.Load() != nil {
			r.URL.Path = r.URL.Path[at:]
			push.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
}

// hop is where /hops/N/… leads, and whether it does.
func hop(u *url.URL) (string, bool) {
	var left int
	if count, _ := fmt.Sscanf(u.Path, "/hops/%d/", &left); count != 1 || left < 1 {
		return "", false
	}
	next := *u
	next.Path = strings.Replace(u.Path, fmt.Sprintf("/hops/%d/", left), fmt.Sprintf("/hops/%d/", left-1), 1)
	return next.RequestURI(), true
}

// admin is for the tests alone.
func (g *gate) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/requests", g.requests.serveJSON)
	mux.HandleFunc("POST /-/credentials", g.credentials.change)
	mux.HandleFunc("POST /-/tokens", g.tokens.configure)
	mux.HandleFunc("POST /-/revoke", g.tokens.revoke)
	mux.HandleFunc("GET /-/connections", func(w http.ResponseWriter, _ *http.Request) {
		counts := map[string]int64{}
		for name, opened := range g.opened {
			counts[name] = opened.Load()
		}
		answerJSON(w, counts)
	})
	mux.HandleFunc("POST /-/upstream", func(w http.ResponseWriter, r *http.Request) {
		upstream, err := url.Parse(r.FormValue("url"))
		if err != nil || upstream.Host == "" {
			http.Error(w, "no URL", http.StatusBadRequest)
			return
		}
		g.upstream.Store(upstream)
	})
	return mux
}

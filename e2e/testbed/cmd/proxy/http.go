package main

import (
	"context"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/elazarl/goproxy"
)

// newHTTP forwards requests for http URLs and connects for all others.
func newHTTP(o options, connections *connectionLog) http.Handler {
	proxy := goproxy.NewProxyHttpServer()
	dial := o.dialer()
	proxy.Tr = &http.Transport{DialContext: dial}
	proxy.ConnectDial = func(network, address string) (net.Conn, error) { return dial(context.Background(), network, address) }
	proxy.Logger = log.New(io.Discard, "", 0)
	wanted := "Basic " + base64.StdEncoding.EncodeToString([]byte(o.basic))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := connection{Way: "forward", Client: r.RemoteAddr, Target: r.URL.Host}
		if r.Method == http.MethodConnect {
			seen.Way, seen.Target = "connect", r.Host
		}
		host, _, _ := net.SplitHostPort(seen.Target)
		known := o.basic == "" || r.Header.Get("Proxy-Authorization") == wanted
		seen.Allowed = known && host != o.denied
		connections.add(seen)
		switch {
		case !known:
			w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		case !seen.Allowed:
			http.Error(w, "not there", http.StatusForbidden)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// dialer connects to hosts that only this proxy knows, and to all others.
func (o options) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && o.known[host] != "" {
			address = net.JoinHostPort(o.known[host], port)
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

package main

import (
	"crypto/tls"
	"errors"
	"maps"
	"net/http"
	"slices"
)

var versions = map[uint16]string{tls.VersionTLS12: "TLS12", tls.VersionTLS13: "TLS13"}

// face is one way to come in.
type face struct {
	tls       *tls.Config // nil: plain HTTP
	protocols *http.Protocols
	guard     guard
	leads     func(*http.Request) string // where a redirect leads
	status    int                        // of the redirect
	handler   http.Handler               // instead of profiles and pushes
	elsewhere bool                       // on another host
}

// faces are all of them, by name.
func (g *gate) faces() map[string]face {
	all := map[string]face{}
	for _, some := range []map[string]face{g.credentialFaces(), g.tlsFaces(), g.tokenFaces(), g.redirectFaces()} {
		maps.Copy(all, some)
	}
	return all
}

func (g *gate) credentialFaces() map[string]face {
	return map[string]face{
		"plain":     {guard: open},
		"elsewhere": {guard: open, elsewhere: true},
		"basic":     {guard: g.credentials.basic},
		"bearer":    {guard: g.credentials.bearer},
		"apikey":    {guard: g.credentials.apiKey},
		"key":       {guard: g.credentials.key},
		"forbidden": {guard: closed},
		"oauth2":    {guard: g.tokens.guard},
	}
}

// speaks is a set of protocols, in the words of http.Server and in those of TLS.
func speaks(http1, http2 bool) (*http.Protocols, []string) {
	protocols, names := &http.Protocols{}, []string{}
	protocols.SetHTTP1(http1)
	protocols.SetHTTP2(http2)
	if http2 {
		names = append(names, "h2")
	}
	if http1 {
		names = append(names, "http/1.1")
	}
	return protocols, names
}

func (g *gate) tlsFaces() map[string]face {
	c := g.certificates
	made := func(shown *pair, http1, http2 bool, change func(*tls.Config)) face {
		protocols, names := speaks(http1, http2)
		config := &tls.Config{Certificates: []tls.Certificate{shown.ready}, NextProtos: names, MinVersion: tls.VersionTLS12}
		change(config)
		return face{tls: config, protocols: protocols, guard: open}
	}
	asIs := func(*tls.Config) {}
	mutual := func(most uint16) func(*tls.Config) {
		return func(t *tls.Config) {
			t.ClientAuth, t.ClientCAs, t.MaxVersion = tls.RequireAndVerifyClientCert, c.authority.pool(), most
		}
	}
	return map[string]face{
		"tls":        made(c.server, true, true, asIs),
		"http1":      made(c.server, true, false, asIs),
		"h2-only":    made(c.server, false, true, onlyHTTP2),
		"tls12":      made(c.server, true, true, func(t *tls.Config) { t.MaxVersion = tls.VersionTLS12 }),
		"tls13":      made(c.server, true, true, func(t *tls.Config) { t.MinVersion = tls.VersionTLS13 }),
		"mtls":       made(c.server, true, true, mutual(tls.VersionTLS13)),
		"mtls12":     made(c.server, true, true, mutual(tls.VersionTLS12)),
		"expired":    made(c.expired, true, true, asIs),
		"wrong-name": made(c.elsewhere, true, true, asIs),
		"unknown-ca": made(c.unknown, true, true, asIs),
	}
}

// onlyHTTP2 refuses whoever does not offer it: crypto/tls alone would let HTTP/1.1 pass.
func onlyHTTP2(t *tls.Config) {
	t.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.Contains(hello.SupportedProtos, "h2") {
			return nil, errors.New("no application protocol in common")
		}
		return nil, nil
	}
}

func (g *gate) tokenFaces() map[string]face {
	secure := g.tlsFaces()
	token := func(f face) face {
		f.guard, f.handler = open, g.tokens
		return f
	}
	return map[string]face{
		"token":      token(face{}),
		"token-tls":  token(secure["tls"]),
		"token-mtls": token(secure["mtls"]),
		// Something answers, but it is no OAuth2 server.
		"token-page": {guard: open, handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<!DOCTYPE html><title>Welcome</title>"))
		})},
		"token-down": {guard: func(*http.Request) int { return http.StatusServiceUnavailable }},
	}
}

func (g *gate) redirectFaces() map[string]face {
	to := func(scheme, name string) func(*http.Request) string {
		return func(r *http.Request) string { return scheme + "://" + g.addresses[name] + r.URL.RequestURI() }
	}
	secure := g.tlsFaces()["tls"]
	return map[string]face{
		"redirect-port":          {guard: open, leads: to("http", "plain"), status: http.StatusTemporaryRedirect},
		"redirect-elsewhere":     {guard: open, leads: to("http", "elsewhere"), status: http.StatusTemporaryRedirect},
		"redirect-elsewhere-308": {guard: open, leads: to("http", "elsewhere"), status: http.StatusPermanentRedirect},
		"redirect-elsewhere-302": {guard: open, leads: to("http", "elsewhere"), status: http.StatusFound},
		"redirect-loopback": {
			guard: open, status: http.StatusTemporaryRedirect,
			leads: func(r *http.Request) string { return "http://127.0.0.1:9" + r.URL.RequestURI() },
		},
		"redirect-up": {guard: open, leads: to("https", "tls"), status: http.StatusTemporaryRedirect},
		"redirect-down": {
			tls: secure.tls, protocols: secure.protocols,
			guard: open, leads: to("http", "plain"), status: http.StatusTemporaryRedirect,
		},
		"redirect-endless": {
			guard: open, leads: func(r *http.Request) string { return r.URL.RequestURI() }, status: http.StatusTemporaryRedirect,
		},
	}
}

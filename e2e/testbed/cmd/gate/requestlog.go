package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// maxEntries bounds the log.
const maxEntries = 50_000

// entry is one finished request; Seq counts them from 1. Header holds what a request
// should, or should not, carry: the values are those of tests.
type entry struct {
	Seq      int               `json:"seq"`
	UnixNano int64             `json:"unixNano"`
	Face     string            `json:"face"`
	Remote   string            `json:"remote"`
	Host     string            `json:"host"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Query    string            `json:"query"`
	Proto    string            `json:"proto"`
	TLS      string            `json:"tls"`
	Client   string            `json:"client"` // subject of the client's certificate
	Header   map[string]string `json:"header"`
	Form     url.Values        `json:"form"` // of a request for a token
	Status   int               `json:"status"`
}

var logged = []string{"Authorization", "X-Key", "X-Row", "X-Scope-OrgID", "Proxy-Authorization", "Cookie", "Referer", "User-Agent"}

type requestLog struct {
	mu      sync.Mutex
	seq     int
	entries []entry
}

// watch logs what next answers on the face.
func (l *requestLog) watch(face string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := entry{
			UnixNano: time.Now().UnixNano(), Face: face, Remote: r.RemoteAddr, Host: r.Host, Method: r.Method,
			Path: r.URL.Path, Query: r.URL.RawQuery, Proto: r.Proto, Header: map[string]string{},
		}
		for _, name := range logged {
			if value := r.Header.Get(name); value != "" {
				e.Header[name] = value
			}
		}
		if r.TLS != nil {
			e.TLS = versions[r.TLS.Version]
			if len(r.TLS.PeerCertificates) > 0 {
				e.Client = r.TLS.PeerCertificates[0].Subject.CommonName
			}
		}
		answer := &answerTap{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		e.Status, e.Form = answer.status, r.PostForm
		l.add(e)
	})
}

func (l *requestLog) add(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq = l.seq
	if len(l.entries) >= maxEntries {
		l.entries = l.entries[1:]
	}
	l.entries = append(l.entries, e)
}

// serveJSON answers with the entries above `since`, of one face if it is named.
func (l *requestLog) serveJSON(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.Atoi("0" + r.FormValue("since"))
	if err != nil {
		http.Error(w, "since is not a number", http.StatusBadRequest)
		return
	}
	face := r.FormValue("face")
	l.mu.Lock()
	found := []entry{}
	for _, e := range l.entries {
		if e.Seq > since && (face == "" || e.Face == face) {
			found = append(found, e)
		}
	}
	l.mu.Unlock()
	answerJSON(w, found)
}

func answerJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the test has gone, if anything
}

// answerTap remembers the status.
type answerTap struct {
	http.ResponseWriter
	status int
}

func (t *answerTap) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

func (t *answerTap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

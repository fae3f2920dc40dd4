package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
)

// server accepts connections and lets the kind that each request names answer it.
type server struct {
	listener  net.Listener
	canary    string // a local address
	abandoned *abandoned
	hits      *hits
}

func newServer(l net.Listener, canary string) (*server, error) {
	host, _, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	s := &server{listener: l, canary: canary, hits: newHits()}
	if s.abandoned, err = abandon(host); err != nil {
		return nil, fmt.Errorf("the listener that never accepts: %w", err)
	}
	return s, nil
}

func (s *server) serve() error {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return err
		}
		go s.talk(conn.(*net.TCPConn))
	}
}

// talk answers the requests of one connection.
func (s *server) talk(conn *net.TCPConn) {
	defer func() { _ = conn.Close() }()
	if local, ok := conn.LocalAddr().(*net.TCPAddr); ok && local.IP.String() == s.canary {
		s.hits.canary(conn.RemoteAddr().String())
		return
	}
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if !s.answer(conn, request) {
			return
		}
	}
}

// answer says whether the connection can be used again.
func (s *server) answer(conn *net.TCPConn, request *http.Request) bool {
	x := &exchange{conn: conn, request: request, canary: s.canary}
	if page, ok := s.page(request.URL.Path); ok {
		return x.ok(page)
	}
	name, _, found := strings.Cut(strings.TrimPrefix(request.URL.Path, "/hostile/"), "/")
	play, known := kinds[name]
	if !found || !known {
		return x.status("501 Not Implemented", nil) // a kind that does not exist must not look like one that does
	}
	done := s.hits.begin(name)
	defer done()
	x.number = s.hits.count(name)
	return play(x)
}

// page is what the tests ask.
func (s *server) page(path string) ([]byte, bool) {
	var content any
	switch path {
	case "/-/hits":
		content = s.hits.report()
	case "/-/addresses":
		content = map[string]string{"never-accepted": s.abandoned.address}
	default:
		return nil, false
	}
	page, err := json.Marshal(content)
	if err != nil {
		log.Fatal(err)
	}
	return page, true
}

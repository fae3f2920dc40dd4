package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	headSize    = 1 << 10 // of a request, usually
	mostHead    = 16 << 10
	mostSeconds = 60
)

var (
	notFound   = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	errRequest = errors.New("not a GET without a body")
)

type key struct{ address, path string }

type server struct {
	answers map[string][][]byte
	delay   time.Duration

	requests, bytes, open atomic.Int64

	mutex   sync.Mutex
	targets map[key]*target
}

func newServer(answers map[string][][]byte, delay time.Duration) *server {
	return &server{answers: answers, delay: delay, targets: map[key]*target{}}
}

func (s *server) serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go s.converse(c)
	}
}

// converse answers the requests of one connection until the client closes it or says what is not understood.
func (s *server) converse(c net.Conn) {
	s.open.Add(1)
	defer s.open.Add(-1)
	defer c.Close()
	address := c.LocalAddr().(*net.TCPAddr).IP.String()
	known := map[string]*target{} // of this connection: no lock for most requests
	head := make([]byte, 0, headSize)
	for {
		head = head[:0]
		for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
			if len(head) == cap(head) {
				if cap(head) >= mostHead {
					return
				}
				head = append(make([]byte, 0, 2*cap(head)), head...)
			}
			n, err := c.Read(head[len(head):cap(head)])
			if err != nil {
				return
			}
			head = head[:len(head)+n]
		}
		if s.answer(c, head, address, known) != nil {
			return
		}
	}
}

func (s *server) answer(c net.Conn, head []byte, address string, known map[string]*target) error {
	arrived := time.Now()
	path, seconds, err := parse(head)
	if err != nil {
		return err
	}
	t := known[string(path)]
	if t == nil {
		if t = s.target(address, string(path)); t == nil {
			_, err := c.Write(notFound)
			return err
		}
		known[string(path)] = t
	}
	body := t.next(arrived)
	s.requests.Add(1)
	if wait := s.wait(seconds); wait > 0 {
		time.Sleep(wait)
	}
	n, err := c.Write(body)
	s.bytes.Add(int64(n))
	return err
}

// wait is how long an answer takes: the seconds of the profile, and some more as on a network.
func (s *server) wait(seconds int) time.Duration {
	wait := time.Duration(seconds) * time.Second
	if s.delay > 0 {
		wait += rand.N(s.delay)
	}
	return wait
}

// target returns nil for a path that was not recorded.
func (s *server) target(address, path string) *target {
	answers := s.answers[path]
	if answers == nil {
		return nil
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	k := key{address, path}
	if s.targets[k] == nil {
		s.targets[k] = &target{answers: answers}
	}
	return s.targets[k]
}

// parse returns the path and the value of `seconds`, which may only be the whole query.
func parse(head []byte) (path []byte, seconds int, err error) {
	rest, ok := bytes.CutPrefix(head, []byte("GET "))
	if !ok {
		return nil, 0, errRequest
	}
	uri, _, ok := bytes.Cut(rest, []byte(" HTTP/1.1\r\n"))
	if !ok {
		return nil, 0, errRequest
	}
	path, query, _ := bytes.Cut(uri, []byte("?"))
	if value, ok := bytes.CutPrefix(query, []byte("seconds=")); ok {
		seconds, err = strconv.Atoi(string(value))
		if err != nil || seconds < 0 || seconds > mostSeconds {
			return nil, 0, errRequest
		}
	}
	return path, seconds, nil
}

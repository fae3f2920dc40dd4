package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// marker stands in everything that a scraper might be tempted to quote.
const marker = "geheim-body"

// exchange is one request and the connection to answer it on.
type exchange struct {
	conn    *net.TCPConn
	request *http.Request
	// number counts the requests of this kind from 1.
	number int
	canary string
}

// cumulative says whether the path is that of a profile that counts since the start.
func (x *exchange) cumulative() bool {
	return strings.HasSuffix(x.request.URL.Path, "/allocs")
}

// write says whether the client still takes it.
func (x *exchange) write(data []byte) bool {
	_, err := x.conn.Write(data)
	return err == nil
}

func (x *exchange) text(format string, arguments ...any) bool {
	return x.write(fmt.Appendf(nil, format, arguments...))
}

// status answers with a whole response; lines are more headers.
func (x *exchange) status(status string, body []byte, lines ...string) bool {
	return x.head(status, append(lines, fmt.Sprintf("Content-Length: %d", len(body)))...) && x.write(body)
}

func (x *exchange) ok(body []byte, lines ...string) bool {
	return x.status("200 OK", body, lines...)
}

// head begins a response.
func (x *exchange) head(status string, lines ...string) bool {
	return x.text("HTTP/1.1 %s\r\n%s\r\n\r\n", status, strings.Join(lines, "\r\n"))
}

// endless repeats data for as long as the client takes it. It never says that the connection can be used again.
func (x *exchange) endless(data []byte) bool {
	for x.write(data) {
	}
	return false
}

// drip sends the bytes of data one by one, over and over.
func (x *exchange) drip(data []byte, every time.Duration) bool {
	for i := 0; x.write(data[i%len(data) : i%len(data)+1]); i++ {
		if !x.pause(every) {
			break
		}
	}
	return false
}

// pause waits; false means that the client has gone meanwhile.
func (x *exchange) pause(d time.Duration) bool {
	_ = x.conn.SetReadDeadline(time.Now().Add(d))
	_, err := x.conn.Read(make([]byte, 1))
	_ = x.conn.SetReadDeadline(time.Time{})
	timeout, ok := err.(net.Error)
	return err == nil || ok && timeout.Timeout()
}

// settle gives the client time to read what was sent before what follows.
func (x *exchange) settle() bool {
	time.Sleep(100 * time.Millisecond)
	return true
}

// waitForClient returns when the client has gone.
func (x *exchange) waitForClient() bool {
	for x.pause(time.Minute) {
	}
	return false
}

// reset ends the connection with RST instead of FIN.
func (x *exchange) reset() bool {
	_ = x.conn.SetLinger(0)
	return false
}

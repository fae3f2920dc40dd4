package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// piece is what floods are made of.
const piece = 256 << 10

// floods are answers without an end, fast or slow.
var floods = map[string]behaviour{
	"endless-body": func(x *exchange) bool {
		return x.head("200 OK", "Connection: close") && x.endless(noise(piece))
	},
	"endless-gzip": func(x *exchange) bool {
		z := stretched()
		return x.head("200 OK") && x.write(gzipHead) && x.write(z.first) && x.endless(bytes.Repeat(z.next, piece/len(z.next)))
	},
	"endless-error": func(x *exchange) bool { return x.head("500 "+marker) && x.endless(noise(piece)) },
	"endless-redirect": func(x *exchange) bool {
		return x.head("302 Found", "Location: /hostile/good/debug/pprof/allocs") && x.endless(noise(piece))
	},
	"endless-chunks": func(x *exchange) bool {
		return x.head("200 OK", "Transfer-Encoding: chunked") && x.endless(bytes.Repeat([]byte("1\r\nx\r\n"), piece/6))
	},
	"endless-chunk-extension": func(x *exchange) bool {
		return x.head("200 OK", "Transfer-Encoding: chunked") && x.text("1;") && x.endless(bytes.Repeat([]byte("x"), piece))
	},
	"endless-trailers": func(x *exchange) bool {
		return x.head("200 OK", "Transfer-Encoding: chunked") && x.chunk(gzipped(x.valid())) && x.text("0\r\n") &&
			x.endless(bytes.Repeat([]byte("X-"+marker+": 1\r\n"), 10_000))
	},
	"endless-header": func(x *exchange) bool {
		return x.text("HTTP/1.1 200 OK\r\nX-Long: ") && x.endless(bytes.Repeat([]byte(marker), piece/len(marker)))
	},
	"endless-headers": func(x *exchange) bool {
		return x.text("HTTP/1.1 200 OK\r\n") && x.endless(bytes.Repeat([]byte("X-"+marker+": 1\r\n"), 10_000))
	},
	"endless-status-line": func(x *exchange) bool { return x.text("HTTP/1.1 200 ") && x.endless(bytes.Repeat([]byte("x"), piece)) },
	"endless-informational": func(x *exchange) bool {
		return x.endless(bytes.Repeat([]byte("HTTP/1.1 100 Continue\r\n\r\n"), 10_000))
	},
	"endless-upgrade": func(x *exchange) bool {
		return x.head("101 Switching Protocols", "Upgrade: websocket", "Connection: upgrade") && x.endless(noise(piece))
	},
	// A whole answer, and then more of them than anybody asked for, on a connection that is idle.
	"endless-answers": func(x *exchange) bool {
		answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(marker), marker)
		return good(x) && x.endless(bytes.Repeat(answer, 5_000))
	},
	"huge-header": func(x *exchange) bool { return x.ok(gzipped(x.valid()), "X-"+marker+": "+strings.Repeat("x", 1<<20)) },
	"many-headers": func(x *exchange) bool {
		return x.ok(gzipped(x.valid()), strings.Repeat("X-"+marker+": 1\r\n", 5_000)+"X-Last: 1")
	},
	"huge-length": func(x *exchange) bool {
		return x.head("200 OK", "Content-Length: 4611686018427387904") && x.write(gzipped(x.valid())) && x.waitForClient()
	},

	"slow-body": func(x *exchange) bool {
		return x.head("200 OK", "Content-Length: 100000") && x.drip(noise(100), time.Second)
	},
	"slow-header": func(x *exchange) bool {
		return x.drip([]byte("HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat(marker, 50)), time.Second)
	},
	"slow-informational": func(x *exchange) bool { return x.informational(300 * time.Millisecond) },
	"trickle": func(x *exchange) bool {
		return x.head("200 OK", "Content-Length: 100000000") && x.drip(noise(100), time.Millisecond)
	},
}

// informational promises an answer again and again.
func (x *exchange) informational(every time.Duration) bool {
	for x.head("102 Processing") && x.pause(every) {
	}
	return false
}

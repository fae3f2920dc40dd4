package main

import "fmt"

var sshBanner = []byte("SSH-2.0-OpenSSH_9.6 " + marker + "\r\n")

// frames are answers that are broken HTTP, or no HTTP at all.
var frames = map[string]behaviour{
	"ssh": func(x *exchange) bool { return x.write(sshBanner) && x.waitForClient() },
	// The beginning of a server hello, and a fatal alert: what a TLS port says to plain text.
	"tls": func(x *exchange) bool {
		return x.write([]byte("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")) && x.waitForClient()
	},
	"tls-alert": func(x *exchange) bool { return x.write([]byte("\x15\x03\x01\x00\x02\x02\x46")) && false },
	"http09":    func(x *exchange) bool { return x.write(gzipped(x.valid())) && false },
	"http2": func(x *exchange) bool {
		return x.write([]byte("\x00\x00\x12\x04\x00\x00\x00\x00\x00")) && x.waitForClient()
	},
	"chunk-size": func(x *exchange) bool {
		return x.head("200 OK", "Transfer-Encoding: chunked") && x.text("zzz %s\r\n", marker) && x.waitForClient()
	},
	"chunk-size-later": func(x *exchange) bool {
		return x.head("200 OK", "Transfer-Encoding: chunked") && x.text("1\r\nx\r\n") && x.settle() && x.text("zzz\r\n") && x.waitForClient()
	},
	"chunk-size-huge": func(x *exchange) bool {
		return x.head("200 OK", "Transfer-Encoding: chunked") && x.text("fffffffffffffffffff\r\n%s", marker) && x.waitForClient()
	},
	"length-text": func(x *exchange) bool {
		return x.head("200 OK", "Content-Length: "+marker) && x.write(gzipped(x.valid())) && x.waitForClient()
	},
	"length-negative": func(x *exchange) bool { return x.head("200 OK", "Content-Length: -1") && x.waitForClient() },
	"length-twice": func(x *exchange) bool {
		return x.head("200 OK", "Content-Length: 5", "Content-Length: 6") && x.text(marker) && x.waitForClient()
	},
	"length-and-chunks": func(x *exchange) bool {
		return x.head("200 OK", "Content-Length: 5", "Transfer-Encoding: chunked") && x.text("1\r\nx\r\n0\r\n\r\n") && x.waitForClient()
	},
	"header-without-colon": func(x *exchange) bool { return x.ok(gzipped(x.valid()), marker) },
	"header-name-odd":      func(x *exchange) bool { return x.ok(gzipped(x.valid()), "X-\xe9: 1") },
	"header-with-zero":     func(x *exchange) bool { return x.ok(gzipped(x.valid()), "X-Zero: \x00"+marker) },
	"status-text":          func(x *exchange) bool { return x.status(marker, gzipped(x.valid())) },
	"status-huge":          func(x *exchange) bool { return x.status("99999999999 "+marker, gzipped(x.valid())) },
	// The second answer to one request must never be taken for the answer to the next one.
	"two-answers-later": func(x *exchange) bool {
		return good(x) && x.settle() && x.status("500 "+marker, []byte(marker)) && x.waitForClient()
	},
	"two-answers": func(x *exchange) bool { return good(x) && x.status("500 "+marker, []byte(marker)) },
}

// chunk sends data as one chunk.
func (x *exchange) chunk(data []byte) bool {
	return x.write(fmt.Appendf(nil, "%x\r\n%s\r\n", len(data), data))
}

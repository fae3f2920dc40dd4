package main

import (
	"maps"
	"time"
)

// behaviour answers a request and says whether the connection can be used again.
type behaviour func(x *exchange) bool

// kinds are the behaviours by name, which is part of the path.
var kinds = merged(answers, bodies, packings, floods, connections, frames, redirects)

func merged(groups ...map[string]behaviour) map[string]behaviour {
	all := map[string]behaviour{}
	for _, group := range groups {
		maps.Copy(all, group)
	}
	return all
}

// good serves the profile that the path asks for.
func good(x *exchange) bool { return x.ok(gzipped(x.valid())) }

// answers are well-formed HTTP that is no profile.
var answers = map[string]behaviour{
	"status-404": func(x *exchange) bool { return x.status("404 Not Found", []byte(marker)) },
	"status-500": func(x *exchange) bool { return x.status("500 "+marker, []byte(marker)) },
	// Of a part of a profile nobody can take the difference.
	"status-206": func(x *exchange) bool {
		return x.status("206 Partial Content", gzipped(x.valid()), "Content-Range: bytes 0-99/1000")
	},
	"html": func(x *exchange) bool {
		return x.ok([]byte("<!DOCTYPE html><title>"+marker+"</title>"), "Content-Type: text/html")
	},
	"json": func(x *exchange) bool {
		return x.ok([]byte(`{"error": "`+marker+`"}`), "Content-Type: application/json")
	},
	"text": func(x *exchange) bool { return x.ok([]byte("could not enable profiling: " + marker + "\n")) },
	"empty": func(x *exchange) bool {
		return x.ok(nil, "Content-Type: application/octet-stream")
	},
	"encoding-br":   func(x *exchange) bool { return x.ok([]byte(marker), "Content-Encoding: br") },
	"encoding-text": func(x *exchange) bool { return x.ok([]byte(marker), "Content-Encoding: gzip") },
	"encoding-odd":  func(x *exchange) bool { return x.ok(gzipped(x.valid()), "Content-Encoding: gzip, "+marker) },

	// Odd, but nothing is wrong with it.
	"good": good,
	"slow": func(x *exchange) bool { return x.pause(time.Second) && good(x) },
	"closes": func(x *exchange) bool {
		return x.ok(gzipped(x.valid()), "Connection: close") && false
	},
	"until-close": func(x *exchange) bool {
		return x.text("HTTP/1.0 200 OK\r\n\r\n") && x.write(gzipped(x.valid())) && false
	},
	"raw": func(x *exchange) bool { return x.ok(x.valid()) },
	"odd-headers": func(x *exchange) bool {
		return x.ok(gzipped(x.valid()), "Content-Type: \xff/"+marker, "Set-Cookie: a=\xfe; Domain=.", "X-Odd: \xff", "Date: "+marker,
			"Refresh: 0; url=http://"+x.canary+"/", "Alt-Svc: h2=\""+x.canary+":80\"", "Content-Encoding: ")
	},
	"odd-reason": func(x *exchange) bool { return x.status("200 \xff\xfe "+marker, gzipped(x.valid())) },
	"trailers": func(x *exchange) bool {
		return x.head("200 OK", "Transfer-Encoding: chunked", "Trailer: X-"+marker) && x.chunk(gzipped(x.valid())) &&
			x.text("0\r\nX-%s: 1\r\n\r\n", marker)
	},
}

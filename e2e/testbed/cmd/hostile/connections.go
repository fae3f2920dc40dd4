package main

// connections are answers that end early, or don't begin.
var connections = map[string]behaviour{
	"reset":       func(x *exchange) bool { return x.reset() },
	"reset-later": func(x *exchange) bool { return x.begun() && x.settle() && x.reset() },
	"hang-up":     func(*exchange) bool { return false },
	"truncated":   func(x *exchange) bool { return x.begun() && false },
	"truncated-chunks": func(x *exchange) bool {
		return x.head("200 OK", "Transfer-Encoding: chunked") && x.chunk(gzipped(x.valid())) && false
	},
	"truncated-header": func(x *exchange) bool { return x.text("HTTP/1.1 200 OK\r\nX-%s: ", marker) && false },
	"black-hole":       func(x *exchange) bool { return x.waitForClient() },
	"black-hole-later": func(x *exchange) bool { return x.begun() && x.waitForClient() },
}

// begun sends less of a profile than it promises.
func (x *exchange) begun() bool {
	body := gzipped(x.valid())
	return x.text("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body)+1000) && x.write(body)
}

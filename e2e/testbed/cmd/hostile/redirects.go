package main

import (
	"fmt"
	"net"
	"strings"
)

// redirects lead in circles, astray, or to the canary.
var redirects = map[string]behaviour{
	"redirect-loop":  func(x *exchange) bool { return x.redirect(x.request.URL.Path) },
	"redirect-chain": func(x *exchange) bool { return x.redirect(fmt.Sprintf("%s?%d", x.request.URL.Path, x.number)) },
	"redirect-elsewhere": func(x *exchange) bool {
		_, port, _ := net.SplitHostPort(x.conn.LocalAddr().String())
		canary := net.JoinHostPort(x.canary, port)
		return x.redirect([]string{
			"http://" + canary + "/",
			"//" + canary + "/" + marker,
			"http://" + x.request.Host + "@" + canary + "/",
			"http://" + canary + "#@" + x.request.Host + "/",
			"ftp://" + canary + "/",
			"https://" + canary + "/",
			"HTTP://" + canary,
		}[x.number%7])
	},
	// Readers of URLs don't agree whose host this is: by RFC 3986 the target's, in a browser the canary's.
	"redirect-ambiguous": func(x *exchange) bool {
		return x.redirect(`http://` + x.canary + `\@` + x.request.Host + `/hostile/status-404/`)
	},
	"redirect-scheme": func(x *exchange) bool {
		return x.redirect([]string{"file:///proc/self/environ", "ftp://" + x.request.Host + "/", "gopher://" + x.request.Host + "/",
			"unix:///run/containerd.sock", "data:,x", "javascript:1"}[x.number%6])
	},
	"redirect-nowhere": func(x *exchange) bool {
		return x.redirect([]string{"http://[", "http://" + hostname(x) + ":99999999/", "http://" + hostname(x) + ":x/",
			"http://\xff\xfe/", "http://" + strings.Repeat("a", 5000) + ".example/", "//\x01" + marker}[x.number%6])
	},
	// On its own host, and to a good end.
	"redirect-home": func(x *exchange) bool {
		return x.redirect(strings.Replace(x.request.URL.Path, "redirect-home", "good", 1))
	},
}

func (x *exchange) redirect(location string) bool {
	return x.status("302 Found", []byte(marker), "Location: "+location)
}

func hostname(x *exchange) string {
	host, _, _ := net.SplitHostPort(x.request.Host)
	return host
}

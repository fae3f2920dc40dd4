package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	netproxy "golang.org/x/net/proxy"
)

// start runs both proxies, and says where they are.
func start(t *testing.T, o options) (web, socks string, seen func() []connection) {
	t.Helper()
	connections := &connectionLog{}
	server := httptest.NewServer(newHTTP(o, connections))
	t.Cleanup(server.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	made, err := newSocks(o, connections)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = made.Serve(l) }()
	return server.Listener.Addr().String(), l.Addr().String(), func() []connection {
		recorder := httptest.NewRecorder()
		connections.serveJSON(recorder, nil)
		var found []connection
		if err := json.Unmarshal(recorder.Body.Bytes(), &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
}

func target(t *testing.T) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	t.Cleanup(server.Close)
	return server
}

func TestForward(t *testing.T) {
	for _, row := range []struct {
		options options
		user    *url.Userinfo
		status  int
	}{
		{options{}, nil, 200},
		{options{basic: "me:secret"}, url.UserPassword("me", "secret"), 200},
		{options{basic: "me:secret"}, url.UserPassword("me", "wrong"), 407},
		{options{basic: "me:secret"}, nil, 407},
		{options{denied: "127.0.0.1"}, nil, 403},
	} {
		web, _, seen := start(t, row.options)
		through := http.ProxyURL(&url.URL{Scheme: "http", Host: web, User: row.user})
		client := &http.Client{Transport: &http.Transport{Proxy: through, DisableKeepAlives: true}}
		server := target(t)
		response, err := client.Get(server.URL)
		if err != nil || response.StatusCode != row.status {
			t.Errorf("%+v: %v, %v", row, response, err)
			continue
		}
		_ = response.Body.Close()
		found := seen()[0]
		if found.Way != "forward" || found.Target != server.Listener.Addr().String() || found.Allowed != (row.status == 200) {
			t.Errorf("%+v: %+v", row, found)
		}
	}
}

func TestConnect(t *testing.T) {
	web, _, seen := start(t, options{basic: "me:secret"})
	server := target(t)
	conn, err := net.Dial("tcp", web)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	host := server.Listener.Addr().String()
	_, _ = io.WriteString(conn, "CONNECT "+host+" HTTP/1.1\r\nHost: "+host+"\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n")
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil || response.StatusCode != 200 {
		t.Fatal(response, err)
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	if response, err = http.ReadResponse(reader, nil); err != nil || response.StatusCode != 200 {
		t.Error(response, err)
	}
	if found := seen()[0]; found.Way != "connect" || found.Target != host || !found.Allowed {
		t.Errorf("%+v", found)
	}
}

func TestSocks(t *testing.T) {
	server := target(t)
	host := server.Listener.Addr().String()
	for _, row := range []struct {
		options options
		auth    *netproxy.Auth
		through bool
		logged  int
	}{
		{options{}, nil, true, 1},
		{options{basic: "me:secret"}, &netproxy.Auth{User: "me", Password: "secret"}, true, 1},
		{options{basic: "me:secret"}, &netproxy.Auth{User: "me", Password: "wrong"}, false, 0},
		{options{basic: "me:secret"}, nil, false, 0},
		{options{denied: "127.0.0.1"}, nil, false, 1},
	} {
		_, socks, seen := start(t, row.options)
		dialer, err := netproxy.SOCKS5("tcp", socks, row.auth, nil)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := dialer.Dial("tcp", host)
		if (err == nil) != row.through {
			t.Errorf("%+v: %v", row, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
		found := seen()
		if len(found) != row.logged || (row.logged == 1 && (found[0].Target != host || found[0].Allowed != row.through)) {
			t.Errorf("%+v: %+v", row, found)
		}
	}
}

func TestNamesThatNobodyElseKnows(t *testing.T) {
	web, socks, seen := start(t, options{known: map[string]string{"gate.example": "127.0.0.1"}})
	_, port, _ := net.SplitHostPort(target(t).Listener.Addr().String())
	for _, through := range []*url.URL{{Scheme: "http", Host: web}, {Scheme: "socks5", Host: socks}} {
		client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), DisableKeepAlives: true}}
		response, err := client.Get("http://gate.example:" + port)
		if err != nil || response.StatusCode != 200 {
			t.Fatal(through, response, err)
		}
		_ = response.Body.Close()
	}
	if found := seen(); len(found) != 2 || found[0].Target != "gate.example:"+port || found[1].Target != found[0].Target {
		t.Errorf("%+v", found)
	}
}

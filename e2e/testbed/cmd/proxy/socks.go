package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"strconv"
	"strings"

	"github.com/armon/go-socks5"
)

// newSocks is a SOCKS5 proxy; who has no credentials that it likes is not logged.
func newSocks(o options, connections *connectionLog) (*socks5.Server, error) {
	config := &socks5.Config{
		Rules:    socksRules{o.denied, connections},
		Resolver: socksNames(o.known),
		Logger:   log.New(io.Discard, "", 0),
		Dial:     o.dialer(),
	}
	if user, password, asked := strings.Cut(o.basic, ":"); asked {
		config.Credentials = socks5.StaticCredentials{user: password}
	}
	return socks5.New(config)
}

type socksRules struct {
	denied      string
	connections *connectionLog
}

// Allow is asked for every connection.
func (s socksRules) Allow(ctx context.Context, request *socks5.Request) (context.Context, bool) {
	host := request.DestAddr.FQDN
	if host == "" {
		host = request.DestAddr.IP.String()
	}
	target := net.JoinHostPort(host, strconv.Itoa(request.DestAddr.Port))
	allowed := request.Command == socks5.ConnectCommand && host != s.denied
	s.connections.add(connection{Way: "socks", Client: request.RemoteAddr.Address(), Target: target, Allowed: allowed})
	return ctx, allowed
}

type socksNames map[string]string

// Resolve knows no other names.
func (s socksNames) Resolve(ctx context.Context, name string) (context.Context, net.IP, error) {
	if ip := net.ParseIP(s[name]); ip != nil {
		return ctx, ip, nil
	}
	return ctx, nil, errors.New("unknown host")
}

package main

import (
	"net"
	"strconv"
	"syscall"
	"time"
)

// abandoned is a listener that nobody accepts from and whose backlog is full: the
// kernel drops every further SYN, so a client waits for the connection itself.
type abandoned struct {
	address string
	filling []net.Conn
}

// dialled is how long a connect may take that the kernel answers on its own.
const dialled = 300 * time.Millisecond

func abandon(host string) (*abandoned, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ip := net.ParseIP(host).To4()
	if ip == nil {
		ip = net.IPv4zero.To4()
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte(ip)}); err != nil {
		return nil, err
	}
	if err := syscall.Listen(socket, 0); err != nil {
		return nil, err
	}
	name, err := syscall.Getsockname(socket)
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
	a := &abandoned{address: net.JoinHostPort(ip.String(), port)}
	a.fill(port)
	return a, nil
}

func (a *abandoned) fill(port string) {
	for {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", port), dialled)
		if err != nil {
			return
		}
		a.filling = append(a.filling, conn)
	}
}

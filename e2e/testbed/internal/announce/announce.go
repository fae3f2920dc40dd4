// Package announce lets the process that started a testbed program learn
// where it listens: port 0 is the normal case in tests.
package announce

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Line is what a program prints on stdout, once, when it accepts connections.
type Line struct {
	Listening string `json:"listening"`
	PID       int    `json:"pid"`
}

// Listening writes the line for l.
func Listening(w io.Writer, l net.Listener) error {
	return json.NewEncoder(w).Encode(Line{Listening: l.Addr().String(), PID: os.Getpid()})
}

// ExitOnSignal ends the process with status 0 at the first SIGTERM or SIGINT.
// There is no graceful stop on purpose: a pod that vanishes in the middle of a
// scrape is what the operator has to cope with.
func ExitOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		os.Exit(0)
	}()
}

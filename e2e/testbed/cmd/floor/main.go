// Command floor is the opponent of the benchmark: the least that a scraper written
// in Go does. A goroutine for each scrape, net/http with kept connections, gunzip
// and gzip anew for the cumulative types (a difference would be taken between the
// two; it is not), one push request for each profile. Buffers, readers and writers
// are pooled, labels are encoded once.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"pyroscope-operator.dev/e2e/testbed/internal/announce"
)

func main() {
	file := flag.String("targets", "", "file with a line for each target: host:port, space, offset of its slots in seconds")
	push := flag.String("push", "", "base URL of the receiver")
	interval := flag.Duration("interval", 15*time.Second, "from one scrape of a target to the next")
	names := flag.String("profiles", "process_cpu,memory,mutex,block,goroutine", "types to scrape")
	flag.Parse()
	announce.ExitOnSignal()
	if err := run(*file, *push, *interval, strings.Split(*names, ",")); err != nil {
		log.Fatal(err)
	}
}

func run(file, push string, interval time.Duration, names []string) error {
	targets, err := read(file)
	if err != nil {
		return err
	}
	s := newScraper(push)
	for _, t := range targets {
		for _, name := range names {
			loop, err := newLoop(s, t, name, interval)
			if err != nil {
				return err
			}
			go loop.run()
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := announce.Listening(os.Stdout, l); err != nil {
		return err
	}
	http.HandleFunc("GET /-/stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(s.stats()); err != nil {
			log.Print(err)
		}
	})
	return (&http.Server{ReadHeaderTimeout: 10 * time.Second}).Serve(l)
}

type target struct {
	address string
	offset  time.Duration
}

func read(file string) ([]target, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var targets []target
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		address, offset, _ := strings.Cut(lines.Text(), " ")
		seconds, err := strconv.ParseFloat(offset, 64)
		if err != nil {
			return nil, fmt.Errorf("offset of %s: %w", address, err)
		}
		targets = append(targets, target{address, time.Duration(seconds * float64(time.Second))})
	}
	return targets, lines.Err()
}

// Command gziploop is the yardstick of the delta core: it undoes gzip and makes it
// anew, with pooled readers and writers as a lean scraper in Go would, and prints
// for each file how many CPU seconds one turn takes. It takes no difference.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
)

type loop struct {
	reader gzip.Reader
	writer *gzip.Writer
	raw    bytes.Buffer
	packed bytes.Buffer
}

func (l *loop) turn(body []byte) error {
	l.raw.Reset()
	l.packed.Reset()
	if err := l.reader.Reset(bytes.NewReader(body)); err != nil {
		return err
	}
	if _, err := l.raw.ReadFrom(&l.reader); err != nil {
		return err
	}
	l.writer.Reset(&l.packed)
	if _, err := l.writer.Write(l.raw.Bytes()); err != nil {
		return err
	}
	return l.writer.Close()
}

// cpu is the time that the whole process took, its garbage collector included.
func cpu() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

func measure(path string, least time.Duration) (float64, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	l := &loop{writer: gzip.NewWriter(nil)}
	if err := l.turn(body); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	started, err := cpu()
	if err != nil {
		return 0, err
	}
	for turns := 1; ; turns++ {
		if err := l.turn(body); err != nil {
			return 0, err
		}
		now, err := cpu()
		if err != nil {
			return 0, err
		}
		if spent := now - started; spent >= least {
			return spent.Seconds() / float64(turns), nil
		}
	}
}

func main() {
	least := flag.Duration("least", 300*time.Millisecond, "CPU time to spend on each file")
	flag.Parse()
	took := map[string]float64{}
	for _, path := range flag.Args() {
		seconds, err := measure(path, *least)
		if err != nil {
			log.Fatal(err)
		}
		took[path] = seconds
	}
	if err := json.NewEncoder(os.Stdout).Encode(took); err != nil {
		log.Fatal(err)
	}
}

package main

import (
	"fmt"
	"net/http"
	"time"
)

// profile is a type as it is asked for.
type profile struct {
	path       string
	cumulative bool // the difference to the one before is what one wants to know
	timed      bool // asked for with `seconds`
}

var profiles = map[string]profile{
	"process_cpu": {path: "/debug/pprof/profile", timed: true},
	"memory":      {path: "/debug/pprof/allocs", cumulative: true},
	"mutex":       {path: "/debug/pprof/mutex", cumulative: true},
	"block":       {path: "/debug/pprof/block", cumulative: true},
	"goroutine":   {path: "/debug/pprof/goroutine"},
}

const timeout = 15 * time.Second // besides the seconds of the profile

// loop scrapes one type of one target at every slot; slot n starts at offset + n·interval, in unix time.
type loop struct {
	scraper          *scraper
	offset, interval time.Duration
	request          *http.Request
	timeout          time.Duration
	cumulative       bool
	labels           []byte // encoded as in a RawProfileSeries
}

func newLoop(s *scraper, t target, name string, interval time.Duration) (*loop, error) {
	p, ok := profiles[name]
	if !ok {
		return nil, fmt.Errorf("unknown profile %q", name)
	}
	l := &loop{scraper: s, offset: t.offset, interval: interval, timeout: timeout, cumulative: p.cumulative}
	url := "http://" + t.address + p.path
	if p.timed {
		seconds := interval.Truncate(time.Second) - time.Second
		url += fmt.Sprintf("?seconds=%d", seconds/time.Second)
		l.timeout += seconds
	}
	var err error
	if l.request, err = http.NewRequest(http.MethodGet, url, nil); err != nil {
		return nil, err
	}
	l.request.Header.Set("User-Agent", "floor")
	l.labels = encode(map[string]string{
		"__name__": name, "instance": t.address, "job": "bench/floor", "namespace": "bench", "service_name": "kube-apiserver",
	}, p.cumulative)
	return l, nil
}

func (l *loop) run() {
	for {
		time.Sleep(l.untilNext(time.Now()))
		l.scraper.scrape(l)
	}
}

// untilNext is the time from now to the next slot; slots that a long scrape has overrun are left out.
func (l *loop) untilNext(now time.Time) time.Duration {
	into := (time.Duration(now.UnixNano()) - l.offset) % l.interval
	return l.interval - into
}

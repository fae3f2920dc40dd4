package main

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/google/pprof/profile"
)

// maxRejections bounds the list of the latest refused profiles.
const maxRejections = 100

// metadata is what GET /api/profiles tells about one accepted profile.
type metadata struct {
	Seq              int               `json:"seq"`
	ReceivedUnixNano int64             `json:"receivedUnixNano"`
	Tenant           string            `json:"tenant"`
	Request          int               `json:"request"` // counts push requests from 1
	ID               string            `json:"id"`
	Labels           map[string]string `json:"labels"`
	SampleTypes      []string          `json:"sampleTypes"`
	Samples          int               `json:"samples"`
	TimeNanos        int64             `json:"timeNanos"`
	DurationNanos    int64             `json:"durationNanos"`
	Negative         bool              `json:"negative"`
	Totals           map[string]int64  `json:"totals"`
	Bytes            int               `json:"bytes"` // as received
	ContentEncoding  string            `json:"contentEncoding"`
	UserAgent        string            `json:"userAgent"`
	DuplicateOf      int               `json:"duplicateOf,omitempty"`
}

// accepted is a profile in the store. It keeps the body and not the parsed
// profile, which takes many times the memory.
type accepted struct {
	metadata
	body []byte
}

func (a *accepted) parse() (*profile.Profile, error) {
	return profile.ParseData(a.body)
}

type rejection struct {
	Labels map[string]string `json:"labels"`
	ID     string            `json:"id"`
	Error  string            `json:"error"`
}

// stats count since the start or the last reset, whatever is still kept.
type stats struct {
	Requests        int `json:"requests"` // all, including those a fault hit
	Faulted         int `json:"faulted"`
	Unauthenticated int `json:"unauthenticated"`
	Series          int `json:"series"`
	Profiles        int `json:"profiles"`
	Duplicates      int `json:"duplicates"`
	Rejected        int `json:"rejected"`
	Bytes           int `json:"bytes"`
	Kept            int `json:"kept"`
}

// store holds the latest profiles and the counters.
type store struct {
	limit   int
	journal *journal // nil: nothing outlives the process

	mu        sync.Mutex
	seq       int
	kept      []*accepted
	firstByID map[string]int // seq of the first kept profile with an ID
	rejected  []rejection
	stats     stats
}

func newStore(limit int) *store {
	return &store{limit: limit, firstByID: map[string]int{}}
}

// restore takes over what an earlier process accepted, and goes on writing
// where it ended.
func (s *store) restore(path string) error {
	j, kept, err := openJournal(path)
	if err != nil {
		return err
	}
	for _, a := range kept {
		s.seq = a.Seq - 1
		s.add(a)
	}
	s.journal = j
	return nil
}

// update changes the counters and returns them as they are afterwards.
func (s *store) update(change func(*stats)) stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
	current := s.stats
	current.Kept = len(s.kept)
	return current
}

// accept keeps a profile. One that cannot be written is not accepted.
func (s *store) accept(m metadata, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Seq, m.ReceivedUnixNano, m.Bytes = s.seq+1, time.Now().UnixNano(), len(body)
	m.DuplicateOf = s.firstByID[m.ID]
	a := &accepted{metadata: m, body: body}
	if s.journal != nil {
		if err := s.journal.add(a); err != nil {
			return err
		}
	}
	s.add(a)
	return nil
}

// add is accept for a profile that has its number.
func (s *store) add(a *accepted) {
	s.seq++
	s.stats.Profiles++
	s.stats.Bytes += len(a.body)
	if a.DuplicateOf != 0 {
		s.stats.Duplicates++
	} else if a.ID != "" {
		s.firstByID[a.ID] = a.Seq
	}
	if len(s.kept) >= s.limit {
		s.evictOldest()
	}
	s.kept = append(s.kept, a)
}

func (s *store) evictOldest() {
	oldest := s.kept[0]
	if s.firstByID[oldest.ID] == oldest.Seq {
		delete(s.firstByID, oldest.ID)
	}
	s.kept[0] = nil // the slice's array still refers to it
	s.kept = s.kept[1:]
}

func (s *store) reject(r rejection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Rejected++
	if len(s.rejected) >= maxRejections {
		s.rejected = s.rejected[1:]
	}
	s.rejected = append(s.rejected, r)
}

func (s *store) rejections() (count int, last []rejection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.Rejected, append([]rejection{}, s.rejected...)
}

// find returns the kept profiles after since that have the labels, in order.
func (s *store) find(since int, labels map[string]string) []*accepted {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []*accepted{}
	for _, a := range s.kept {
		if a.Seq > since && matches(a.Labels, labels) {
			found = append(found, a)
		}
	}
	return found
}

func (s *store) bySeq(seq int) (*accepted, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := slices.BinarySearchFunc(s.kept, seq, func(a *accepted, seq int) int {
		return cmp.Compare(a.Seq, seq)
	})
	if !ok {
		return nil, false
	}
	return s.kept[i], true
}

// reset forgets everything except which numbers were given: a since from before
// stays valid.
func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept, s.rejected, s.firstByID, s.stats = nil, nil, map[string]int{}, stats{}
}

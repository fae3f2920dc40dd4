package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/google/pprof/profile"
	"google.golang.org/protobuf/encoding/protowire"
)

// periodTypeField is period_type's number in profile.proto.
const periodTypeField = 11

// parsed is a profile as google/pprof understands it.
type parsed struct {
	profile  *profile.Profile
	encoding string // gzip or raw
	size     int    // uncompressed bytes

	hasPeriodType bool
}

// parseProfile inflates raw, if need be, and checks that references resolve.
func parseProfile(raw []byte) (*parsed, error) {
	p := &parsed{encoding: "raw"}
	plain := raw
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		p.encoding = "gzip"
		var err error
		if plain, err = inflate(raw); err != nil {
			return nil, fmt.Errorf("failed to decompress profile: %w", err)
		}
	}
	p.size = len(plain)
	var err error
	if p.profile, err = profile.ParseUncompressed(plain); err != nil {
		return nil, fmt.Errorf("failed to parse profile: %w", err)
	}
	if err := p.profile.CheckValid(); err != nil {
		return nil, fmt.Errorf("malformed profile: %w", err)
	}
	p.hasPeriodType = hasField(plain, periodTypeField)
	return p, nil
}

// hasField looks for a field in a message. google/pprof cannot say: it gives a
// profile without a period type an empty one.
func hasField(message []byte, wanted protowire.Number) bool {
	for len(message) > 0 {
		number, _, length := protowire.ConsumeField(message)
		if length < 0 || number == wanted {
			return number == wanted
		}
		message = message[length:]
	}
	return false
}

func inflate(raw []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(reader, maxInflatedBytes+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > maxInflatedBytes {
		return nil, errors.New("decompressed size exceeds what the receiver holds")
	}
	return plain, nil
}

// describe fills in what the query API tells about the profile.
func (p *parsed) describe(m *metadata) {
	m.Samples = len(p.profile.Sample)
	m.TimeNanos = p.profile.TimeNanos
	m.DurationNanos = p.profile.DurationNanos
	m.ContentEncoding = p.encoding
	m.SampleTypes = sampleTypes(p.profile)
	m.Totals = map[string]int64{}
	for i, name := range m.SampleTypes {
		m.Totals[name] += 0 // present even without samples
		for _, s := range p.profile.Sample {
			m.Totals[name] += s.Value[i]
			m.Negative = m.Negative || s.Value[i] < 0
		}
	}
}

// sampleTypes names the columns: "alloc_space/bytes".
func sampleTypes(p *profile.Profile) []string {
	names := make([]string, len(p.SampleType))
	for i, t := range p.SampleType {
		names[i] = t.Type + "/" + t.Unit
	}
	return names
}

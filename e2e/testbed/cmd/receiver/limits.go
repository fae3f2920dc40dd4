package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
)

const (
	// maxMessageBytes bounds what one request may make the receiver hold.
	maxMessageBytes = 256 << 20
	// maxInflatedBytes bounds one profile; it is above the limit that is
	// enforced, so that a profile over the limit is named as such.
	maxInflatedBytes = 64 << 20

	nameLabel    = "__name__"
	serviceLabel = "service_name"
)

// limits are Pyroscope's defaults; requestBytes is off unless asked for.
type limits struct {
	requestBytes int
	profileBytes int
	samples      int
	labels       int
	nameLength   int
	valueLength  int
	past, future time.Duration
}

func defaultLimits(requestBytes int) limits {
	return limits{
		requestBytes: requestBytes,
		profileBytes: 4 << 20,
		samples:      16_000,
		labels:       30,
		nameLength:   1024,
		valueLength:  2048,
		past:         time.Hour,
		future:       10 * time.Minute,
	}
}

var (
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
)

// checkLabels is what the server asks of a series' labels. The texts here are
// the receiver's own: clients must not depend on the server's.
func (l limits) checkLabels(labels []*typesv1.LabelPair) error {
	if len(labels) > l.labels {
		return fmt.Errorf("%d labels, at most %d are allowed", len(labels), l.labels)
	}
	seen := map[string]string{}
	for _, pair := range labels {
		name := pair.GetName()
		switch _, twice := seen[name]; {
		case len(name) > l.nameLength:
			return fmt.Errorf("label name of %d bytes, at most %d are allowed", len(name), l.nameLength)
		case len(pair.GetValue()) > l.valueLength:
			return fmt.Errorf("value of label %s has %d bytes, at most %d are allowed", name, len(pair.GetValue()), l.valueLength)
		case !labelName.MatchString(name):
			return fmt.Errorf("%q is not a label name", name)
		case twice:
			return fmt.Errorf("label %s is there twice", name)
		}
		seen[name] = pair.GetValue()
	}
	if !metricName.MatchString(seen[nameLabel]) {
		return fmt.Errorf("label %s is missing or invalid: %q", nameLabel, seen[nameLabel])
	}
	if seen[serviceLabel] == "" {
		return fmt.Errorf("label %s is missing", serviceLabel)
	}
	return nil
}

// checkProfile is what the server asks of a profile; one without a time is
// given the current one and passes.
func (l limits) checkProfile(p *parsed, now time.Time) error {
	if p.size > l.profileBytes {
		return fmt.Errorf("profile of %d bytes, at most %d are allowed", p.size, l.profileBytes)
	}
	if n := len(p.profile.Sample); n > l.samples {
		return fmt.Errorf("profile of %d samples, at most %d are allowed", n, l.samples)
	}
	for _, valueType := range p.profile.SampleType {
		if strings.Contains(valueType.Type, "-") {
			return fmt.Errorf("sample type %q has a dash", valueType.Type)
		}
	}
	taken := time.Unix(0, p.profile.TimeNanos)
	switch age := now.Sub(taken); {
	case p.profile.TimeNanos == 0:
		return nil
	case age > l.past:
		return fmt.Errorf("profile too old: %s, at most %s is allowed", age, l.past)
	case -age > l.future:
		return fmt.Errorf("profile too new: %s ahead, at most %s is allowed", -age, l.future)
	}
	return nil
}

// labelMap is for the query API; of a duplicate name the last value stays.
func labelMap(labels []*typesv1.LabelPair) map[string]string {
	m := make(map[string]string, len(labels))
	for _, pair := range labels {
		m[pair.GetName()] = pair.GetValue()
	}
	return m
}

// matches says whether labels has every pair of want.
func matches(labels, want map[string]string) bool {
	for name, value := range want {
		if got, ok := labels[name]; !ok || got != value {
			return false
		}
	}
	return true
}

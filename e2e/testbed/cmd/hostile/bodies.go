package main

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// served answers with a profile made for the request, gzipped.
func served(make func(x *exchange) message) behaviour {
	return func(x *exchange) bool { return x.ok(gzipped(make(x))) }
}

// bodies are answers with status 200 whose protobuf is the trouble.
var bodies = map[string]behaviour{
	"other-protobuf": served(func(*exchange) message {
		// A Prometheus remote write, as it were: valid, but another message.
		label := message{}.bytes(1, []byte("__name__")).bytes(2, []byte(marker))
		return message{}.bytes(1, message{}.bytes(1, label).bytes(2, message{}.number(2, 1)))
	}),
	"random": func(x *exchange) bool { return x.ok(noise(5000)) },
	"wrong-types": served(func(x *exchange) message {
		m := x.valid()
		for _, field := range []protowire.Number{sampleField, sampleTypeField, stringField} {
			m = m.number(field, 1) // a number where a message belongs
		}
		return m.bytes(timeField, []byte(marker))
	}),
	"only-wrong-types": served(func(*exchange) message {
		return message{}.number(sampleTypeField, 1).number(sampleField, 1).number(stringField, 1)
	}),
	"unknown-location": served(func(x *exchange) message {
		return x.valid().bytes(sampleField, message{}.numbers(sampleLocation, 1, 4711).numbers(sampleValue, x.counted()...))
	}),
	"unknown-function": served(func(x *exchange) message { return x.valid().bytes(locationField, location(2, 1, 4711)) }),
	"unknown-mapping":  served(func(x *exchange) message { return x.valid().bytes(locationField, location(2, 4711, 1)) }),
	"same-id-twice":    served(func(x *exchange) message { return x.valid().bytes(locationField, location(1, 1, 1)) }),
	"unknown-string": served(func(x *exchange) message {
		return x.empty().sample(x.counted(), message{}.number(labelKey, 1).number(labelText, 4711))
	}),
	"negative-string": served(func(x *exchange) message {
		return x.empty().sample(x.counted(), message{}.number(labelKey, math.MaxUint64))
	}),
	"values-missing": served(func(x *exchange) message { return x.empty().sample(nil) }),
	"deep-groups": served(func(x *exchange) message {
		return x.valid().repeated(protowire.AppendTag(nil, 20, protowire.StartGroupType), 1_000_000)
	}),
	"group-without-end": served(func(x *exchange) message { return protowire.AppendTag(x.valid(), 20, protowire.StartGroupType) }),
	"garbage-behind-raw": func(x *exchange) bool {
		return x.ok(append(x.valid(), "\xff\xff\xff"+marker...))
	},
	// The sum of equal samples passes 64 bits: a question only for who adds.
	"overflow": served(func(x *exchange) message {
		most := values(x.cumulative(), math.MaxInt64/16)
		m := x.empty()
		for range 17 {
			m = m.sample(most)
		}
		return m
	}),

	// Valid, and to be taken.
	"labels":         served(func(x *exchange) message { return x.labelled(1000) }),
	"unknown-fields": served(func(x *exchange) message { return x.valid().bytes(99, bytes.Repeat([]byte(marker), 1000)) }),
	// Counters below 0 that fall: whatever is sent of them must not be negative.
	"negative": served(func(x *exchange) message {
		return x.empty().sample(values(x.cumulative(), uint64(-int64(x.number))))
	}),

	// Valid, but the server refuses it.
	"old":            served(func(x *exchange) message { return start(x.cumulative()).at(time.Unix(1, 0)).sample(x.counted()) }),
	"future":         served(func(x *exchange) message { return start(x.cumulative()).at(distant).sample(x.counted()) }),
	"no-period-type": served(func(x *exchange) message { return without(x.valid(), periodTypeField) }),

	// More than anybody needs
	"many-labels":    served(func(x *exchange) message { return x.labelled(10_000) }),
	"many-samples":   crowded(sampleField, func(bool) []byte { return nil }),
	"many-valid":     crowded(sampleField, func(c bool) []byte { return message{}.numbers(sampleValue, values(c, 1)...) }),
	"many-locations": crowded(locationField, func(bool) []byte { return nil }),
	"many-functions": crowded(functionField, func(bool) []byte { return nil }),
	"many-mappings":  crowded(mappingField, func(bool) []byte { return nil }),
	"many-strings":   crowded(stringField, func(bool) []byte { return nil }),
	"many-types":     crowded(sampleTypeField, func(bool) []byte { return nil }),
	"many-comments":  crowded(commentField, func(bool) []byte { return make([]byte, crowd) }),
	"many-values":    crowded(sampleField, func(bool) []byte { return message{}.bytes(sampleValue, make([]byte, crowd)) }),
	"long-stack":     crowded(sampleField, func(bool) []byte { return message{}.bytes(sampleLocation, bytes.Repeat([]byte{1}, crowd)) }),
	"one-with-labels": crowded(sampleField, func(c bool) []byte {
		return message{}.numbers(sampleValue, values(c, 1)...).repeated(message{}.bytes(sampleLabel, nil), crowd/2)
	}),
	"many-lines": crowded(locationField, func(bool) []byte {
		return message{}.number(1, 2).repeated(message{}.bytes(locationRow, nil), crowd/2)
	}),
}

// labelled has some samples with so many different labels each.
func (x *exchange) labelled(count int) message {
	m, labels := x.empty(), make([]message, count)
	first := uint64(len(texts(x.cumulative())))
	for i := range labels {
		m = m.bytes(stringField, strconv.AppendInt([]byte("label-"), int64(i), 10))
		labels[i] = message{}.number(labelKey, first+uint64(i)).number(labelText, 1)
	}
	for range 3 {
		m = m.sample(x.counted(), labels...)
	}
	return m
}

// distant is as late as 64 bits of nanoseconds can say.
var distant = time.Date(2200, time.January, 1, 0, 0, 0, 0, time.UTC)

// crowd is the size in bytes of bodies that hold as much as fits into them: below a
// limit of 16 MiB, and some kilobytes when gzipped.
const crowd = 15_000_000

// crowded is a profile whose field occurs so often that the body is crowd bytes long. It is made once.
func crowded(field protowire.Number, content func(cumulative bool) []byte) behaviour {
	made := func(cumulative bool) func() []byte {
		return sync.OnceValue(func() []byte {
			part := message{}.bytes(field, content(cumulative))
			m := start(cumulative).at(time.Now()).repeated(part, max(1, crowd/len(part)))
			return gzipped(m)
		})
	}
	plain, cumulative := made(false), made(true)
	return func(x *exchange) bool {
		if x.cumulative() {
			return x.ok(cumulative())
		}
		return x.ok(plain())
	}
}

// noise is the same in every run.
func noise(size int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, size)
	_, _ = random.Read(data)
	return data
}

// without leaves out a field.
func without(m message, unwanted protowire.Number) message {
	var rest message
	for len(m) > 0 {
		field, _, length := protowire.ConsumeField(m)
		if field != unwanted {
			rest = append(rest, m[:length]...)
		}
		m = m[length:]
	}
	return rest
}

package main

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of profile.proto.
const (
	sampleTypeField, sampleField, mappingField    = 1, 2, 3
	locationField, functionField, stringField     = 4, 5, 6
	timeField, periodTypeField, commentField      = 9, 11, 13
	sampleLocation, sampleValue, sampleLabel      = 1, 2, 3
	labelKey, labelText                           = 1, 2
	locationMapping, locationAddress, locationRow = 2, 3, 4
)

// message is a protobuf message in the making. It is written by hand because
// google/pprof does not write what it would not read.
type message []byte

func (m message) number(field protowire.Number, value uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), value)
}

func (m message) bytes(field protowire.Number, value []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), value)
}

// numbers are packed.
func (m message) numbers(field protowire.Number, values ...uint64) message {
	var packed []byte
	for _, value := range values {
		packed = protowire.AppendVarint(packed, value)
	}
	return m.bytes(field, packed)
}

// sample has the stack of location 1.
func (m message) sample(values []uint64, labels ...message) message {
	s := message{}.numbers(sampleLocation, 1).numbers(sampleValue, values...)
	for _, label := range labels {
		s = s.bytes(sampleLabel, label)
	}
	return m.bytes(sampleField, s)
}

// repeated appends count times the same bytes.
func (m message) repeated(part []byte, count int) message {
	return append(m, bytes.Repeat(part, count)...)
}

// start is a profile that lacks its samples: types, strings, a mapping, a location, a function, a time.
func start(cumulative bool) message {
	m := message{}
	for _, text := range texts(cumulative) {
		m = m.bytes(stringField, []byte(text))
	}
	types := [][2]uint64{{1, 2}}
	if cumulative {
		types = [][2]uint64{{1, 2}, {3, 4}, {5, 2}, {6, 4}}
	}
	for _, pair := range types {
		m = m.bytes(sampleTypeField, message{}.number(1, pair[0]).number(2, pair[1]))
	}
	m = m.bytes(periodTypeField, message{}.number(1, 1).number(2, 2))
	m = m.bytes(mappingField, message{}.number(1, 1))
	m = m.bytes(functionField, message{}.number(1, 1).number(2, 1))
	return m.bytes(locationField, location(1, 1, 1))
}

// texts is the string table of start.
func texts(cumulative bool) []string {
	if cumulative {
		return []string{"", "alloc_objects", "count", "alloc_space", "bytes", "inuse_objects", "inuse_space"}
	}
	return []string{"", "goroutine", "count"}
}

// location has one line, in a function.
func location(id, mapping, function uint64) message {
	return message{}.number(1, id).number(locationMapping, mapping).number(locationAddress, 0x1000+id).
		bytes(locationRow, message{}.number(1, function).number(2, 7))
}

func (m message) at(t time.Time) message { return m.number(timeField, uint64(t.UnixNano())) }

// values are one for each sample type of start.
func values(cumulative bool, value uint64) []uint64 {
	if !cumulative {
		return []uint64{value}
	}
	return []uint64{value, 16 * value, value, 16 * value}
}

// empty is the profile that the path asks for, without samples.
func (x *exchange) empty() message { return start(x.cumulative()).at(time.Now()) }

// counted are values that grow from request to request.
func (x *exchange) counted() []uint64 { return values(x.cumulative(), uint64(x.number)) }

// valid is a small profile; its counters grow.
func (x *exchange) valid() message { return x.empty().sample(x.counted()) }

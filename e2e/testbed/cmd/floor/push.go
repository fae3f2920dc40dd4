package main

import (
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of push.v1 and types.v1.
const (
	requestSeries = 1
	seriesLabels  = 1
	seriesSamples = 2
	sampleProfile = 1
	sampleID      = 2
	labelName     = 1
	labelValue    = 2
	idSize        = 36
)

// encode returns the labels as fields of a RawProfileSeries.
func encode(labels map[string]string, delta bool) []byte {
	if delta {
		labels["__delta__"] = "false"
	}
	var encoded []byte
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		var pair []byte
		pair = appendBytes(pair, labelName, []byte(name))
		pair = appendBytes(pair, labelValue, []byte(labels[name]))
		encoded = appendBytes(encoded, seriesLabels, pair)
	}
	return encoded
}

// appendRequest appends a PushRequest with one profile.
func appendRequest(to, labels, profile []byte) []byte {
	sample := size(len(profile)) + size(idSize)
	series := len(labels) + size(sample)
	to = appendHead(to, requestSeries, series)
	to = append(to, labels...)
	to = appendHead(to, seriesSamples, sample)
	to = appendBytes(to, sampleProfile, profile)
	to = appendHead(to, sampleID, idSize)
	return appendID(to)
}

// size of a length-delimited field with a one-byte tag.
func size(length int) int { return 1 + protowire.SizeBytes(length) }

func appendHead(to []byte, field protowire.Number, length int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, field, protowire.BytesType), uint64(length))
}

func appendBytes(to []byte, field protowire.Number, value []byte) []byte {
	return append(appendHead(to, field, len(value)), value...)
}

// appendID appends a random UUID (version 4).
func appendID(to []byte) []byte {
	var id [16]byte
	for half := range 2 {
		for at, bits := 8*half, rand.Uint64(); at < 8*half+8; at, bits = at+1, bits>>8 {
			id[at] = byte(bits)
		}
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	for at, part := range [][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if at > 0 {
			to = append(to, '-')
		}
		to = hex.AppendEncode(to, part)
	}
	return to
}

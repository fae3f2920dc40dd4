package main

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"sync"
)

// packings are answers whose gzip is the trouble, or looks like it.
var packings = map[string]behaviour{
	"gzip-truncated": func(x *exchange) bool {
		body := gzipped(x.valid())
		return x.ok(body[:len(body)-9])
	},
	"gzip-corrupt": func(x *exchange) bool {
		body := gzipped(x.valid())
		body[len(body)-5] ^= 1 // in the checksum
		return x.ok(body)
	},
	"gzip-in-gzip":      func(x *exchange) bool { return x.ok(gzipped(gzipped(x.valid()))) },
	"gzip-bomb":         func(x *exchange) bool { return x.ok(bomb()) },
	"gzip-bomb-encoded": func(x *exchange) bool { return x.ok(bomb(), "Content-Encoding: gzip") },
	"gzip-too-many-members": func(x *exchange) bool {
		return x.ok(append(bytes.Repeat(gzipped(nil), 100_000), gzipped(x.valid())...))
	},
	"garbage-behind-gzip": func(x *exchange) bool { return x.ok(append(gzipped(x.valid()), marker...)) },

	// Valid, and to be taken.
	"gzip-encoded": func(x *exchange) bool { return x.ok(gzipped(x.valid()), "Content-Encoding: gzip") },
	"gzip-twice":   func(x *exchange) bool { return x.ok(gzipped(gzipped(x.valid())), "Content-Encoding: gzip") },
	"gzip-members": func(x *exchange) bool {
		var body []byte
		for _, b := range x.valid() {
			body = append(body, gzipped([]byte{b})...)
		}
		return x.ok(body)
	},
	"gzip-padded": func(x *exchange) bool { return x.ok(append(gzipped(x.valid()), make([]byte, 1000)...)) },
}

// gzipped is data as one gzip member.
func gzipped(data []byte) []byte {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	_, _ = w.Write(data)
	_ = w.Close()
	return packed.Bytes()
}

// zeros are pieces of one deflate stream: after first, next may follow any number of times, and each is stretch zeros.
type zeros struct{ first, next []byte }

const (
	stretch = 1 << 20
	// stretches make 10 GB of a bomb of 10 MB.
	stretches = 10_000
)

// stretched compresses a stretch of zeros; with another one before it, it is always compressed in the same way.
var stretched = sync.OnceValue(func() zeros {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestCompression)
	piece := func() []byte {
		packed.Reset()
		_, _ = w.Write(make([]byte, stretch))
		_ = w.Flush() // ends at a whole byte
		return bytes.Clone(packed.Bytes())
	}
	return zeros{first: piece(), next: piece()}
})

// gzipHead is a member's header without time and name.
var gzipHead = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// bomb is gzip of some 10 MB for 10 GB. Its end is missing: nobody should come that far.
var bomb = sync.OnceValue(func() []byte {
	z := stretched()
	return append(append(bytes.Clone(gzipHead), z.first...), bytes.Repeat(z.next, stretches)...)
})

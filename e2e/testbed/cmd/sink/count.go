package main

import "google.golang.org/protobuf/encoding/protowire"

// Fields of push.v1.
const (
	requestSeries = 1
	seriesSamples = 2
)

// count returns the series of a PushRequest and the profiles in them; profiles are not looked into.
func count(request []byte) (series, profiles int, err error) {
	err = each(request, requestSeries, func(one []byte) error {
		series++
		return each(one, seriesSamples, func([]byte) error {
			profiles++
			return nil
		})
	})
	return series, profiles, err
}

// each calls do with every value of a length-delimited field.
func each(message []byte, wanted protowire.Number, do func([]byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if number == wanted && kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return protowire.ParseError(n)
			}
			if err := do(value); err != nil {
				return err
			}
			message = message[n:]
			continue
		}
		n = protowire.ConsumeFieldValue(number, kind, message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
	}
	return nil
}

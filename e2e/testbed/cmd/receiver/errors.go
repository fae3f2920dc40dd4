package main

import (
	"fmt"
	"strings"
)

// multiError joins the failures of one request. Unwrap lets connect search the
// tree, in which it finds the first coded error and forgets the rest.
type multiError []error

func (m multiError) Error() string {
	if len(m) == 1 {
		return m[0].Error()
	}
	texts := make([]string, len(m))
	for i, err := range m {
		texts[i] = err.Error()
	}
	return fmt.Sprintf("%d errors: %s", len(m), strings.Join(texts, "; "))
}

func (m multiError) Unwrap() []error { return m }

// orNil avoids an interface that holds an empty list.
func (m multiError) orNil() error {
	if len(m) == 0 {
		return nil
	}
	return m
}

package main

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"

	"connectrpc.com/connect"
)

// tenantHeader names the tenant in every Grafana database.
const tenantHeader = "X-Scope-OrgID"

// auth is what a push must carry; an empty field is not asked for. With both
// basic and bearer set, either will do.
type auth struct {
	basic  string
	bearer string
	tenant string
}

func (a auth) check(header http.Header) error {
	if !a.credentials(header.Get("Authorization")) {
		return connect.NewError(connect.CodeUnauthenticated, errors.New("invalid credentials"))
	}
	if a.tenant != "" && header.Get(tenantHeader) != a.tenant {
		return connect.NewError(connect.CodeUnauthenticated, errors.New("no org id"))
	}
	return nil
}

func (a auth) credentials(got string) bool {
	if a.basic == "" && a.bearer == "" {
		return true
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(a.basic))
	return (a.basic != "" && same(got, basic)) || (a.bearer != "" && same(got, "Bearer "+a.bearer))
}

func same(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

package main

import (
	"os"
	"path/filepath"
	"time"
)

// certificates are all that the faces show and all that clients may need; see newCertificates.
type certificates struct {
	authority *authority
	// server is for this machine, expired was until an hour ago, elsewhere is for another
	// name, unknown is signed by an authority that nobody has.
	server, expired, elsewhere, unknown *pair
}

// otherName is the host that the certificate of the face wrong-name is for.
const otherName = "other.example"

// newCertificates makes everything and writes to the folder what clients use: ca.crt,
// other-ca.crt, and as .crt and .key: client, client-2 (as good as the first), other-client
// (of the other authority), expired-client, and server (for whoever else needs one).
func newCertificates(folder string, hosts ...string) (*certificates, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	ca, err := newAuthority("gate CA")
	if err != nil {
		return nil, err
	}
	other, err := newAuthority("other CA")
	if err != nil {
		return nil, err
	}
	c := &certificates{authority: ca}
	valid, past := time.Now().Add(24*time.Hour), time.Now().Add(-time.Hour)
	written := map[string]*pair{}
	for _, wanted := range []struct {
		file    string
		by      *authority
		end     time.Time
		subject string
		hosts   []string
		to      **pair
	}{
		{"server", ca, valid, "gate", hosts, &c.server},
		{"", ca, past, "gate", hosts, &c.expired},
		{"", ca, valid, "gate", []string{otherName}, &c.elsewhere},
		{"", other, valid, "gate", hosts, &c.unknown},
		{"client", ca, valid, "client", nil, nil},
		{"client-2", ca, valid, "client-2", nil, nil},
		{"other-client", other, valid, "other-client", nil, nil},
		{"expired-client", ca, past, "expired-client", nil, nil},
	} {
		made, err := wanted.by.issue(wanted.subject, wanted.end, wanted.hosts...)
		if err != nil {
			return nil, err
		}
		if wanted.to != nil {
			*wanted.to = made
		}
		if wanted.file != "" {
			written[wanted.file] = made
		}
	}
	for name, made := range written {
		if err := made.write(folder, name); err != nil {
			return nil, err
		}
	}
	for name, ca := range map[string]*authority{"ca": ca, "other-ca": other} {
		if err := os.WriteFile(filepath.Join(folder, name+".crt"), ca.pem(), 0o644); err != nil {
			return nil, err
		}
	}
	return c, nil
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// maxBody bounds an answer of the receiver.
const maxBody = 256 << 20

var client = &http.Client{Timeout: 30 * time.Second}

// received is one profile that arrived. Err is what is wrong with its body.
type received struct {
	seq   int
	table *table
	err   error
}

// readReceived fetches the profiles with these labels in order of arrival.
func readReceived(base string, labels map[string]string) ([]received, error) {
	base = strings.TrimRight(base, "/")
	params := url.Values{}
	for name, value := range labels {
		params.Set(name, value)
	}
	text, err := fetch(base + "/api/profiles?" + params.Encode())
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Seq int `json:"seq"`
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, fmt.Errorf("receiver's list: %w", err)
	}
	var all []received
	for _, row := range rows {
		body, err := fetch(fmt.Sprintf("%s/api/profiles/%d/body", base, row.Seq))
		if err != nil {
			return nil, err
		}
		all = append(all, parseReceived(row.Seq, body))
	}
	return all, nil
}

func parseReceived(seq int, body []byte) received {
	p, err := profile.ParseData(body)
	if err == nil {
		err = p.CheckValid()
	}
	if err != nil {
		return received{seq: seq, err: err}
	}
	return received{seq: seq, table: newTable(p)}
}

func fetch(address string) ([]byte, error) {
	resp, err := client.Get(address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, resp.Status)
	}
	return body, nil
}

package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
)

// accepted is what is good at the moment. Of each there may be several, as during a rotation.
type accepted struct {
	Basic  []string `json:"basic"`  // user:password
	Bearer []string `json:"bearer"` // token
	APIKey []string `json:"apikey"` // what follows ApiKey in Authorization
	Key    []string `json:"key"`    // value of X-Key
	Client []string `json:"client"` // id:secret of OAuth2 clients
}

// credentials can be changed while the gate runs.
type credentials struct {
	mu  sync.Mutex
	now accepted
}

func (c *credentials) current() accepted {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// change takes the fields that the request has, and leaves the others as they are.
func (c *credentials) change(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.now
	if err := json.NewDecoder(r.Body).Decode(&changed); err != nil {
		http.Error(w, "no JSON object of lists", http.StatusBadRequest)
		return
	}
	c.now = changed
}

// guard says with which status a request is answered: 200 lets it in.
type guard func(r *http.Request) int

func open(*http.Request) int { return http.StatusOK }

func closed(*http.Request) int { return http.StatusForbidden }

func (c *credentials) basic(r *http.Request) int {
	return verdict(r.Header.Get("Authorization"), c.current().Basic, func(pair string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	})
}

func (c *credentials) bearer(r *http.Request) int {
	return verdict(r.Header.Get("Authorization"), c.current().Bearer, func(token string) string { return "Bearer " + token })
}

func (c *credentials) apiKey(r *http.Request) int {
	return verdict(r.Header.Get("Authorization"), c.current().APIKey, func(key string) string { return "ApiKey " + key })
}

func (c *credentials) key(r *http.Request) int {
	return verdict(r.Header.Get("X-Key"), c.current().Key, func(key string) string { return key })
}

func verdict(got string, good []string, form func(string) string) int {
	if slices.ContainsFunc(good, func(one string) bool { return got == form(one) }) {
		return http.StatusOK
	}
	return http.StatusUnauthorized
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
)

// maxControlBytes bounds the body of a control request.
const maxControlBytes = 1 << 20

// api answers the tests' questions, as JSON.
type api struct {
	store    *store
	faults   *faults
	attempts *attempts
}

func (a *api) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/profiles", a.profiles)
	mux.HandleFunc("GET /api/profiles/{seq}/body", a.body)
	mux.HandleFunc("GET /api/summary", a.summary)
	mux.HandleFunc("GET /api/top", a.top)
	mux.HandleFunc("GET /api/rejected", a.rejected)
	mux.HandleFunc("GET /api/stats", a.stats)
	mux.HandleFunc("GET /api/requests", a.requests)
	mux.HandleFunc("POST /api/reset", a.reset)
	mux.HandleFunc("POST /api/fault", a.fault)
}

// query splits the parameters into those named in own and label filters.
func query(r *http.Request, own ...string) (params, labels map[string]string) {
	params, labels = map[string]string{}, map[string]string{}
	for name, values := range r.URL.Query() {
		labels[name] = values[0]
	}
	for _, name := range own {
		params[name] = labels[name]
		delete(labels, name)
	}
	return params, labels
}

// number reads an optional number.
func number(text string, missing int) (int, error) {
	if text == "" {
		return missing, nil
	}
	return strconv.Atoi(text)
}

func (a *api) profiles(w http.ResponseWriter, r *http.Request) {
	params, labels := query(r, "since")
	since, err := number(params["since"], 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	rows := []metadata{}
	for _, found := range a.store.find(since, labels) {
		rows = append(rows, found.metadata)
	}
	writeJSON(w, rows)
}

func (a *api) body(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.Atoi(r.PathValue("seq"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	found, ok := a.store.bySeq(seq)
	if !ok {
		http.Error(w, fmt.Sprintf("profile %d is not kept", seq), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(found.body)
}

func (a *api) summary(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, summarize(a.store.find(0, nil)))
}

func (a *api) top(w http.ResponseWriter, r *http.Request) {
	params, labels := query(r, "sample_type", "n")
	n, err := number(params["n"], 10)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	rows := topFunctions(a.store.find(0, labels), params["sample_type"])
	writeJSON(w, rows[:max(0, min(n, len(rows)))])
}

func (a *api) rejected(w http.ResponseWriter, _ *http.Request) {
	count, last := a.store.rejections()
	writeJSON(w, map[string]any{"count": count, "last": last})
}

func (a *api) stats(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, a.store.update(func(*stats) {}))
}

func (a *api) requests(w http.ResponseWriter, r *http.Request) {
	since, err := number(r.FormValue("since"), 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, a.attempts.after(since))
}

func (a *api) reset(w http.ResponseWriter, _ *http.Request) {
	a.faults.set(fault{})
	a.store.reset()
	a.attempts.reset()
	writeJSON(w, map[string]any{})
}

// fault replaces the active fault; a count of 0 clears it.
func (a *api) fault(w http.ResponseWriter, r *http.Request) {
	next := fault{Count: 1}
	decoder := json.NewDecoder(io.LimitReader(r.Body, maxControlBytes))
	decoder.DisallowUnknownFields() // a typo would be a test that proves nothing
	err := decoder.Decode(&next)
	if err == nil {
		err = next.validate()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.faults.set(next)
	writeJSON(w, next)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Printf("answering: %v", err)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

const step = time.Minute

// A testCase is what Prometheus has stored: from Unix time 0 on, a sample each minute, in the notation of promtool
// (`up{job="a"} 1x10`).
type testCase struct {
	Series []string `json:"series"`
	// Minutes that are played.
	Minutes int `json:"minutes"`
}

// An alert that fires.
type alert struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Since is the minute in which it began to.
	Since int `json:"since"`
}

// A ruleFile has its rules evaluated as Prometheus does: rule by rule, once a minute.
type ruleFile struct {
	rules    []rulefmt.Rule
	language parser.Parser
	engine   *promql.Engine
}

func loadRules(language parser.Parser, path string) (*ruleFile, error) {
	groups, problems := rulefmt.ParseFile(path, false, model.LegacyValidation, language, slog.Default())
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	made := &ruleFile{
		language: language,
		engine:   promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: language}),
	}
	for _, group := range groups.Groups {
		made.rules = append(made.rules, group.Rules...)
	}
	return made, nil
}

func (f *ruleFile) play(given testCase) ([]alert, error) {
	stored, err := f.stored(given.Series)
	if err != nil {
		return nil, err
	}
	fired := []alert{}
	for _, rule := range f.rules {
		active, firing := map[string]time.Time{}, map[string]bool{}
		for minute := range given.Minutes {
			now := time.Unix(0, 0).Add(time.Duration(minute) * step)
			samples, err := f.query(stored, rule.Expr, now)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", rule.Alert, err)
			}
			seen := map[string]time.Time{}
			for _, sample := range samples {
				made, err := expanded(rule, sample, minute)
				if err != nil {
					return nil, err
				}
				key := fmt.Sprint(made.Labels)
				if _, twice := seen[key]; twice {
					return nil, fmt.Errorf("%s: two results with the labels %s", rule.Alert, key)
				}
				since, known := active[key]
				if !known {
					since = now
				}
				seen[key] = since
				if now.Sub(since) >= time.Duration(rule.For) && !firing[key] {
					firing[key] = true
					fired = append(fired, made)
				}
			}
			active = seen
		}
	}
	return fired, nil
}

func (f *ruleFile) query(stored storage.Queryable, text string, now time.Time) (promql.Vector, error) {
	query, err := f.engine.NewInstantQuery(context.Background(), stored, nil, text, now)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	return query.Exec(context.Background()).Vector()
}

// expanded is the alert that a result of a rule leads to.
func expanded(rule rulefmt.Rule, sample promql.Sample, minute int) (alert, error) {
	own := sample.Metric.Map()
	data := template.AlertTemplateData(own, nil, "", sample)
	expand := func(texts map[string]string) (map[string]string, error) {
		made := map[string]string{}
		for name, text := range texts {
			text = "{{$labels := .Labels}}{{$value := .Value}}" + text
			at := model.Time(int64(minute) * step.Milliseconds())
			done, err := template.NewTemplateExpander(context.Background(), text, rule.Alert, data, at, nil, &url.URL{}, nil).Expand()
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", rule.Alert, name, err)
			}
			made[name] = done
		}
		return made, nil
	}
	fixed, err := expand(rule.Labels)
	if err != nil {
		return alert{}, err
	}
	texts, err := expand(rule.Annotations)
	delete(own, labels.MetricName)
	maps.Copy(own, fixed)
	return alert{rule.Alert, own, texts, minute}, err
}

// A point is a sample: a number at a time in milliseconds.
type point struct {
	t int64
	f float64
}

func (p point) T() int64                      { return p.t }
func (p point) ST() int64                     { return 0 }
func (p point) F() float64                    { return p.f }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return nil }
func (p point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample           { return p }

// stored are the series as something that can be queried.
func (f *ruleFile) stored(texts []string) (storage.Queryable, error) {
	var known []storage.Series
	for _, text := range texts {
		name, values, err := f.language.ParseSeriesDesc(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		samples := []chunks.Sample{}
		for i, value := range values {
			if !value.Omitted {
				samples = append(samples, point{int64(i) * step.Milliseconds(), value.Value})
			}
		}
		known = append(known, storage.NewListSeries(name, samples))
	}
	querier := &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		found := &seriesSet{at: -1}
		for _, series := range known {
			if matchesAll(series.Labels(), matchers) {
				found.series = append(found.series, series)
			}
		}
		return found
	}}
	return storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return querier, nil }), nil
}

func matchesAll(name labels.Labels, matchers []*labels.Matcher) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(name.Get(matcher.Name)) {
			return false
		}
	}
	return true
}

type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool {
	s.at++
	return s.at < len(s.series)
}

func (s *seriesSet) At() storage.Series { return s.series[s.at] }

func (s *seriesSet) Err() error { return nil }

func (s *seriesSet) Warnings() annotations.Annotations { return nil }

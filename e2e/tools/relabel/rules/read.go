package main

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// A reading is what an expression looks at, or why it is none.
type reading struct {
	Error     string     `json:"error,omitempty"`
	Selectors []selector `json:"selectors,omitempty"`
	// Grouping are the labels by which results are put together or matched.
	Grouping []string `json:"grouping,omitempty"`
}

// A selector names a metric and the labels that it looks at, sorted.
type selector struct {
	Metric string   `json:"metric"`
	Labels []string `json:"labels"`
}

func read(language parser.Parser, text string) reading {
	expression, err := language.ParseExpr(text)
	if err != nil {
		return reading{Error: err.Error()}
	}
	var found reading
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			found.Selectors = append(found.Selectors, newSelector(n))
		case *parser.AggregateExpr:
			found.Grouping = append(found.Grouping, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				found.Grouping = append(found.Grouping, n.VectorMatching.MatchingLabels...)
				found.Grouping = append(found.Grouping, n.VectorMatching.Include...)
			}
		}
		return nil
	})
	return found
}

func newSelector(from *parser.VectorSelector) selector {
	made := selector{Labels: []string{}}
	for _, matcher := range from.LabelMatchers {
		if matcher.Name == labels.MetricName {
			made.Metric = matcher.Value
		} else {
			made.Labels = append(made.Labels, matcher.Name)
		}
	}
	slices.Sort(made.Labels)
	return made
}

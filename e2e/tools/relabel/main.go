// Relabel says what Prometheus makes of labels: it reads cases, one JSON object a line, and writes one answer a line.
//
// It is the oracle of e2e/test_relabel.py. Label names are validated by the rules that Pyroscope has as well
// (letters, digits and _), which Prometheus calls legacy.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// A testCase is the steps of an object, with every field set, and the labels of a target.
type testCase struct {
	Steps  []step            `json:"steps"`
	Labels map[string]string `json:"labels"`
}

type step struct {
	SourceLabels []string `json:"sourceLabels"`
	Separator    string   `json:"separator"`
	TargetLabel  string   `json:"targetLabel"`
	Regex        string   `json:"regex"`
	Modulus      uint64   `json:"modulus"`
	Replacement  string   `json:"replacement"`
	Action       string   `json:"action"`
}

// An answer has one of its fields.
type answer struct {
	// Labels are (name, value) pairs in Prometheus's order.
	Labels *[][2]string `json:"labels,omitempty"`
	// Dropped is the index of the step that dropped the target.
	Dropped *int `json:"dropped,omitempty"`
	// Refused says which step Prometheus does not take, and why.
	Refused string `json:"refused,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	cases, answers := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(out)
	for cases.More() {
		var given testCase
		if err := cases.Decode(&given); err != nil {
			return fmt.Errorf("a case that is none: %w", err)
		}
		if err := answers.Encode(given.answer()); err != nil {
			return err
		}
	}
	return nil
}

func (c testCase) answer() answer {
	configs := make([]*relabel.Config, len(c.Steps))
	for i, s := range c.Steps {
		config, err := s.config()
		if err != nil {
			return answer{Refused: fmt.Sprintf("step %d: %v", i, err)}
		}
		configs[i] = config
	}
	builder := labels.NewBuilder(labels.FromMap(c.Labels))
	for i := range configs {
		if !relabel.ProcessBuilder(builder, configs[i]) {
			return answer{Dropped: &i}
		}
	}
	pairs := [][2]string{}
	builder.Labels().Range(func(l labels.Label) { pairs = append(pairs, [2]string{l.Name, l.Value}) })
	return answer{Labels: &pairs}
}

// config makes what Prometheus would have read from its configuration file.
func (s step) config() (*relabel.Config, error) {
	config := relabel.DefaultRelabelConfig
	config.Action = relabel.Action(s.Action)
	config.Separator = s.Separator
	config.TargetLabel = s.TargetLabel
	config.Modulus = s.Modulus
	config.Replacement = s.Replacement
	for _, name := range s.SourceLabels {
		config.SourceLabels = append(config.SourceLabels, model.LabelName(name))
	}
	if s.Regex != "(.*)" { // the default is recognised by its pointer
		regex, err := relabel.NewRegexp(s.Regex)
		if err != nil {
			return nil, err
		}
		config.Regex = regex
	}
	return &config, config.Validate(model.LegacyValidation)
}

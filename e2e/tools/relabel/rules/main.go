// Command rules says what Prometheus makes of PromQL and of a file of alert rules.
//
//	rules parse         reads a JSON list of expressions; writes what each of them reads, or why it is none
//	rules alerts FILE   reads a JSON list of cases; writes which alerts of FILE fire in each of them
//
// Both answer with one JSON list, in the order of what was given.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	language := parser.NewParser(parser.Options{})
	switch {
	case len(arguments) == 1 && arguments[0] == "parse":
		return answer(func(expression string) (reading, error) { return read(language, expression), nil })
	case len(arguments) == 2 && arguments[0] == "alerts":
		rules, err := loadRules(language, arguments[1])
		if err != nil {
			return err
		}
		return answer(rules.play)
	}
	return fmt.Errorf("usage: rules parse | rules alerts FILE")
}

// answer reads a JSON list and writes the list of what work makes of each element.
func answer[Given, Made any](work func(Given) (Made, error)) error {
	var given []Given
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		return fmt.Errorf("input that is no JSON list: %w", err)
	}
	made := make([]Made, len(given))
	for i, one := range given {
		done, err := work(one)
		if err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
		made[i] = done
	}
	return json.NewEncoder(os.Stdout).Encode(made)
}

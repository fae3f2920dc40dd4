package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const prefix = "/debug/pprof/"

// load returns the answers by path, in the order of the files' names.
func load(folder string) (map[string][][]byte, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*", "*.http"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no answers in %q: give --recording a folder with files such as allocs/000.http", folder)
	}
	answers := map[string][][]byte{}
	for _, file := range files { // Glob sorts
		answer, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		path := prefix + filepath.Base(filepath.Dir(file))
		answers[path] = append(answers[path], answer)
	}
	return answers, nil
}

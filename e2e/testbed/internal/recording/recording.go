// Package recording is the format in which the demo app leaves the profiles it
// served: one file per body and index.jsonl, a line per file in the order in
// which the responses were completed. cmd/profcheck reads it.
package recording

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// indexName is the file in a recording's directory that lists the others.
const indexName = "index.jsonl"

// Line is one line of the index. UnixNano is when the request arrived, File is
// relative to the directory, SHA256 is of the body as served.
type Line struct {
	Seq      int    `json:"seq"`
	Path     string `json:"path"`
	Query    string `json:"query"`
	UnixNano int64  `json:"unixNano"`
	File     string `json:"file"`
	SHA256   string `json:"sha256"`
}

// Writer fills a directory. It is not safe for concurrent use.
type Writer struct {
	dir   string
	index *os.File
}

// Create makes dir if it is not there. A directory that already has an index
// is refused: every process has its own, since counters restart with it.
func Create(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	index, err := os.OpenFile(filepath.Join(dir, indexName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s already holds the recording of another process", dir)
	}
	if err != nil {
		return nil, err
	}
	return &Writer{dir: dir, index: index}, nil
}

// Add writes body to line.File and appends the line, in this order and each at
// once, so that a process killed in between leaves no half of anything.
func (w *Writer) Add(line Line, body []byte) error {
	sum := sha256.Sum256(body)
	line.SHA256 = hex.EncodeToString(sum[:])
	path := filepath.Join(w.dir, line.File)
	if err := os.WriteFile(path+".tmp", body, 0o644); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = w.index.Write(append(text, '\n'))
	return err
}

// ReadIndex returns the lines of dir's index.
func ReadIndex(dir string) ([]Line, error) {
	index, err := os.Open(filepath.Join(dir, indexName))
	if err != nil {
		return nil, err
	}
	defer func() { _ = index.Close() }()
	var lines []Line
	for decoder := json.NewDecoder(bufio.NewReader(index)); ; {
		var line Line
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF):
			return lines, nil
		case err != nil:
			return nil, fmt.Errorf("%s: line %d: %w", index.Name(), len(lines)+1, err)
		}
		lines = append(lines, line)
	}
}

// ReadBody returns the body of a line, which must still have its checksum.
func ReadBody(dir string, line Line) ([]byte, error) {
	body, err := os.ReadFile(filepath.Join(dir, line.File))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != line.SHA256 {
		return nil, fmt.Errorf("%s: not the body that was recorded", line.File)
	}
	return body, nil
}

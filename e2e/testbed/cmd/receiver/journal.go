package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
)

// journal keeps accepted profiles in a file, so that they outlive the process
// as those in a server's storage do.
type journal struct {
	file *os.File
}

// journalLine is one accepted profile.
type journalLine struct {
	Metadata metadata `json:"metadata"`
	Body     []byte   `json:"body"`
}

// openJournal returns what is in the file at path, which is made if it is not
// there. A last line that was cut off is a profile that was not accepted: the
// process ended before it answered.
func openJournal(path string) (*journal, []*accepted, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err
	}
	var kept []*accepted
	var whole int64
	reader := bufio.NewReader(file)
	for {
		text, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		var line journalLine
		if err == nil {
			err = json.Unmarshal(text, &line)
		}
		if err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		whole += int64(len(text))
		kept = append(kept, &accepted{metadata: line.Metadata, body: line.Body})
	}
	if err := file.Truncate(whole); err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	_, err = file.Seek(whole, io.SeekStart)
	return &journal{file}, kept, err
}

// add writes a line at once.
func (j *journal) add(a *accepted) error {
	text, err := json.Marshal(journalLine{a.metadata, a.body})
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(text, '\n'))
	return err
}

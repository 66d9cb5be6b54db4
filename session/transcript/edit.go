package transcript

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// SetTitle gives the conversation a title, as the CLI's /rename does: a line at its end. It may be done while a CLI writes.
func (c Conversation) SetTitle(title string) error {
	if title = strings.TrimSpace(title); title == "" {
		return fmt.Errorf("title of conversation %s: it is empty", c.ID)
	}
	return c.note(struct {
		Type      string `json:"type"`
		Title     string `json:"customTitle"`
		SessionID string `json:"sessionId"`
	}{"custom-title", title, c.ID})
}

// SetTag marks the conversation, in place of an earlier mark; empty takes that away. The official SDKs read and write the same.
func (c Conversation) SetTag(tag string) error {
	return c.note(struct {
		Type      string `json:"type"`
		Tag       string `json:"tag"`
		SessionID string `json:"sessionId"`
	}{"tag", strings.TrimSpace(tag), c.ID})
}

// note writes a line behind the last one.
func (c Conversation) note(v any) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write to conversation %s: %w", c.ID, err)
		}
	}()
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.Path, os.O_RDWR|os.O_APPEND, 0) // one that is not there is not made
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	line = append(line, '\n')
	if torn(f) { // or this line would be lost as well
		line = append([]byte{'\n'}, line...)
	}
	_, err = f.Write(line) // in one piece: others may write too
	return err
}

// torn reports whether the last line of a file was cut off.
func torn(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return (err == nil || errors.Is(err, io.EOF)) && last[0] != '\n'
}

// Delete removes the conversation and those of its subagents from the disk. A session that still goes on with it loses its history.
func (c Conversation) Delete() error {
	below, ok := strings.CutSuffix(c.Path, ".jsonl")
	if !ok || !validID(c.ID) {
		return fmt.Errorf("delete conversation %q: %q is not the file of one", c.ID, c.Path)
	}
	// What belongs to it first: as long as the file is there it can be found again.
	if err := errors.Join(os.RemoveAll(below), os.Remove(c.Path)); err != nil {
		return fmt.Errorf("delete conversation %s: %w", c.ID, err)
	}
	return nil
}

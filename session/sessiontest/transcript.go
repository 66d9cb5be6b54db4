package sessiontest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// transcript is a conversation on disk: one JSON object a line, the lines that matter here having the form of the CLI's own.
type transcript struct {
	path      string // empty when nothing is written
	sessionID string
	prompts   []string        // plain prompts, oldest first
	recorded  map[string]bool // prompt uuids; true when something was answered after it
	begun     bool            // something of a conversation is in the file
	torn      bool            // the file ends in the middle of a line
	model     string          // of the last answer
	cost      float64         // saved at the last clean end
	agentID   string          // of the subagent whose conversation it is
}

// entry is a line of the file.
type entry struct {
	Type         string          `json:"type"`
	IsSidechain  bool            `json:"isSidechain,omitempty"`
	AgentID      string          `json:"agentId,omitempty"`
	UUID         string          `json:"uuid,omitempty"`
	SessionID    string          `json:"sessionId"`
	Timestamp    time.Time       `json:"timestamp"`
	Cwd          string          `json:"cwd,omitempty"`
	Version      string          `json:"version,omitempty"`
	Message      json.RawMessage `json:"message,omitempty"`
	TotalCostUSD float64         `json:"totalCostUSD,omitempty"`
}

var notKeyChar = regexp.MustCompile(`[^A-Za-z0-9]`)

// projectKey is the directory name that stands for a working directory.
func projectKey(dir string) string { return notKeyChar.ReplaceAllString(dir, "-") }

// configDir is where the CLI keeps its files.
func configDir(env func(string) string) string {
	if dir := env("CLAUDE_CONFIG_DIR"); dir != "" {
		return dir
	}
	return filepath.Join(env("HOME"), ".claude")
}

// findTranscript looks a session up across all projects. An empty file is one: its id is taken, though nothing can be resumed.
func findTranscript(config, sessionID string) (path string, found bool) {
	matches, err := filepath.Glob(filepath.Join(config, "projects", "*", sessionID+".jsonl"))
	if err != nil {
		return "", false
	}
	if len(matches) == 0 {
		return "", false
	}
	return matches[0], true
}

// newestTranscript is the session of a directory that was written last.
func newestTranscript(config, dir string) (path string, found bool) {
	matches, err := filepath.Glob(filepath.Join(config, "projects", projectKey(dir), "*.jsonl"))
	if err != nil || len(matches) == 0 {
		return "", false
	}
	written := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	return slices.MaxFunc(matches, func(a, b string) int { return cmp.Compare(written(a), written(b)) }), true
}

// resumeError is what the CLI says, in a result frame and on stderr, when there is nothing to resume.
type resumeError string

func (e resumeError) Error() string { return string(e) }

// openTranscript finds or starts the conversation that an invocation names. The error is what the CLI prints before it exits.
func openTranscript(inv invocation, env func(string) string, dir string) (*transcript, error) {
	config := configDir(env)
	t := &transcript{sessionID: inv.sessionID, recorded: map[string]bool{}}
	source := ""
	switch {
	case inv.resuming && strings.HasSuffix(inv.resume, ".jsonl"):
		source = inv.resume
	case inv.resuming:
		if _, err := uuid.Parse(inv.resume); err != nil {
			return nil, resumeError("Error: --resume requires a valid session ID or session title when used with --print. Provided value \"" + inv.resume + "\" is not a UUID and does not match any session title.")
		}
		path, found := findTranscript(config, inv.resume)
		if !found {
			return nil, resumeError("No conversation found with session ID: " + inv.resume)
		}
		source = path
	case inv.continuing:
		source, _ = newestTranscript(config, dir)
	case inv.sessionID != "":
		if _, taken := findTranscript(config, inv.sessionID); taken {
			return nil, usageError("Error: Session ID " + inv.sessionID + " is already in use.")
		}
	}
	if source != "" {
		if err := t.load(source); err != nil {
			return nil, resumeError("No conversation found with session ID: " + inv.resume)
		}
	}
	if t.sessionID == "" && source != "" && !inv.fork {
		t.sessionID = strings.TrimSuffix(filepath.Base(source), ".jsonl")
		t.path = source
	}
	if t.sessionID == "" {
		t.sessionID = uuid.NewString()
	}
	if t.path == "" {
		t.path = filepath.Join(config, "projects", projectKey(dir), t.sessionID+".jsonl")
	}
	if inv.fork && source != "" && inv.persist {
		if err := copyTranscript(source, t.path); err != nil {
			return nil, usageError("Error: " + err.Error())
		}
	}
	if !inv.persist {
		t.path = ""
	}
	return t, nil
}

func copyTranscript(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// load reads a transcript. Lines that are no entries, and a torn last line, are skipped; without any other there is nothing to
// resume, though the id is taken.
func (t *transcript) load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadBytes('\n')
		t.take(line)
		t.torn = len(line) > 0 && line[len(line)-1] != '\n'
		if errors.Is(err, io.EOF) {
			if !t.begun {
				return fmt.Errorf("%s: there is no prompt in it", path)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *transcript) take(line []byte) {
	var e entry
	if json.Unmarshal(line, &e) != nil {
		return
	}
	t.begun = t.begun || e.Type == "user" || e.Type == "assistant"
	switch e.Type {
	case "user":
		var message wireMessage
		_ = json.Unmarshal(e.Message, &message) // no content then
		var text string
		if json.Unmarshal(message.Content, &text) != nil {
			return // a tool's answer
		}
		t.prompts = append(t.prompts, text)
		if e.UUID != "" {
			t.recorded[e.UUID] = false
		}
	case "assistant":
		for id := range t.recorded {
			t.recorded[id] = true
		}
		var message struct {
			Model string `json:"model"`
		}
		if json.Unmarshal(e.Message, &message) == nil && message.Model != "" {
			t.model = message.Model
		}
	case "cost-state":
		t.cost = e.TotalCostUSD
	}
}

// prompt records a prompt, once.
func (t *transcript) prompt(id, text, dir string) error {
	if _, known := t.recorded[id]; known && id != "" {
		return nil
	}
	t.prompts = append(t.prompts, text)
	if id != "" {
		t.recorded[id] = false
	}
	return t.append("user", cmp.Or(id, uuid.NewString()), dir, map[string]any{"role": "user", "content": text})
}

// message records an answer or a tool's result.
func (t *transcript) message(kind, dir string, message any) error {
	if kind == "assistant" {
		for id := range t.recorded {
			t.recorded[id] = true
		}
	}
	return t.append(kind, uuid.NewString(), dir, message)
}

func (t *transcript) append(kind, id, dir string, message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return t.write(entry{
		Type: kind, UUID: id, SessionID: t.sessionID, Timestamp: time.Now().UTC(), Cwd: dir, Version: version, Message: data,
		IsSidechain: t.agentID != "", AgentID: t.agentID,
	})
}

// below is the conversation of a subagent, which has a file of its own.
func (t *transcript) below(a *agent) *transcript {
	file := &transcript{sessionID: t.sessionID, recorded: map[string]bool{}, agentID: a.id}
	if t.path != "" {
		file.path = filepath.Join(filepath.Dir(t.path), t.sessionID, "subagents", "agent-"+a.id+".jsonl")
	}
	return file
}

// about writes what a subagent is into the file beside its conversation.
func (t *transcript) about(a *agent, finished bool) error {
	if t.path == "" {
		return nil
	}
	shape := "foreground"
	if a.background {
		shape = "background"
	}
	about := map[string]any{
		"agentType": a.kind, "isBuiltIn": slices.Contains(ownAgentKinds, a.kind), "description": a.description, "toolUseId": a.toolUseID,
		"spawnDepth": a.depth, "requestShape": shape, "requestNonInteractive": true, "model": a.model,
	}
	if finished {
		about["finished"] = true
	}
	data, err := json.Marshal(about)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(t.path, ".jsonl")+".meta.json", data, 0o600)
}

// recordMessage records an answer or a tool's result of the conversation at work.
func (s *simulation) recordMessage(kind string, message any) {
	file := s.transcript
	if a := s.turn.agent; a != nil {
		file = a.file
	}
	s.record(file.message(kind, s.dir, message))
}

// saveCost records the total, at a clean end only. A conversation of which nothing was written has no total either.
func (t *transcript) saveCost(total float64) error {
	if t.path == "" {
		return nil
	}
	if _, err := os.Stat(t.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return t.write(entry{Type: "cost-state", SessionID: t.sessionID, Timestamp: time.Now().UTC(), TotalCostUSD: total})
}

// write appends one line with one system call, so that a kill leaves whole lines.
func (t *transcript) write(e entry) error {
	if t.path == "" {
		return nil
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(t.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	line := append(bytes.TrimSpace(data), '\n')
	if t.torn {
		line, t.torn = append([]byte("\n"), line...), false
	}
	_, err = file.Write(line)
	return errors.Join(err, file.Close())
}

package transcript

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session/protocol"
)

// MaxLine is the longest line that is read, in bytes. The CLI writes a picture twice, and an edited file whole.
const MaxLine = 64 << 20

// Entry is one line of a conversation.
type Entry struct {
	Line    int    // in the file, from 1; blank lines are not counted
	Type    string // user, assistant, attachment, system, or one of the CLI's notes
	Subtype string // of system
	UUID    string // empty for the CLI's notes
	Parent  string // the entry before it in the conversation; empty for the first
	// Sidechain is an entry of a subagent.
	Sidechain bool
	AgentID   string
	SessionID string
	Timestamp time.Time // zero if there is none
	CWD       string
	GitBranch string
	Version   string // of the CLI that wrote it
	// Meta is text that the CLI put into the conversation in the user's name.
	Meta bool

	// Message is the message of a user or assistant entry: a *protocol.User or *protocol.Assistant. nil for the others.
	Message protocol.Message
	// Damaged says what is wrong with a line that cannot be read; everything else but Line is zero then.
	Damaged error

	raw     json.RawMessage
	follows bool   // it says what its parent is, if only that it has none
	across  string // the entry before it on the other side of a compaction
}

// Raw is the line, unchanged; nil if it is damaged.
func (e Entry) Raw() json.RawMessage { return e.raw }

// Entries reads the conversation, oldest first. An error is one of the file; it ends the iteration.
func (c Conversation) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		f, err := os.Open(c.Path)
		if err != nil {
			yield(Entry{}, fmt.Errorf("read conversation %s: %w", c.ID, err))
			return
		}
		defer f.Close() //nolint:errcheck // only read
		for e, err := range Read(f) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("read conversation %s: %w", c.ID, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Read reads a transcript from anywhere. A last line that is cut off is a damaged entry.
func Read(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := protocol.NewReader(r, MaxLine)
		for n := 1; ; n++ {
			line, err := lines.Next()
			var tooLong *protocol.LineTooLongError
			var e Entry
			switch {
			case err == nil:
				e = parse(line)
			case errors.Is(err, io.EOF):
				return
			case errors.Is(err, io.ErrUnexpectedEOF):
				e.Damaged = errTorn
			case errors.As(err, &tooLong):
				e.Damaged = fmt.Errorf("longer than %d bytes", tooLong.Limit)
			default:
				yield(Entry{}, err)
				return
			}
			e.Line = n
			if !yield(e, nil) || errors.Is(e.Damaged, errTorn) {
				return
			}
		}
	}
}

var errTorn = errors.New("cut off: the process that wrote it was ended, or writes it at this moment")

func parse(line []byte) Entry {
	var w struct {
		Type        string          `json:"type"`
		Subtype     string          `json:"subtype"`
		UUID        string          `json:"uuid"`
		ParentUUID  json.RawMessage `json:"parentUuid"`
		Across      string          `json:"logicalParentUuid"`
		IsSidechain bool            `json:"isSidechain"`
		IsMeta      bool            `json:"isMeta"`
		AgentID     string          `json:"agentId"`
		SessionID   string          `json:"sessionId"`
		Timestamp   string          `json:"timestamp"`
		CWD         string          `json:"cwd"`
		GitBranch   string          `json:"gitBranch"`
		Version     string          `json:"version"`
		Message     json.RawMessage `json:"message"`
		Result      json.RawMessage `json:"toolUseResult"`
	}
	if err := json.Unmarshal(line, &w); err != nil {
		// One field of a type that nobody expects must not cost the entry, if it is an entry at all.
		var typeError *json.UnmarshalTypeError
		if !errors.As(err, &typeError) || w.Type == "" {
			return Entry{Damaged: fmt.Errorf("no entry: %w", err)}
		}
	}
	if w.Type == "" {
		return Entry{Damaged: errors.New("no entry: it has no type")}
	}
	e := Entry{
		Type: w.Type, Subtype: w.Subtype, UUID: w.UUID, Sidechain: w.IsSidechain, AgentID: w.AgentID, SessionID: w.SessionID,
		CWD: w.CWD, GitBranch: w.GitBranch, Version: w.Version, Meta: w.IsMeta, raw: append(json.RawMessage(nil), line...),
	}
	e.across = w.Across
	if e.follows = w.ParentUUID != nil; e.follows {
		_ = json.Unmarshal(w.ParentUUID, &e.Parent) // null, or nothing that is an id
	}
	e.Timestamp, _ = time.Parse(time.RFC3339Nano, w.Timestamp) // zero if it is none
	if w.Type == "user" || w.Type == "assistant" {
		e.Message = message(e, w.Message, w.Result)
	}
	return e
}

// message is the frame that the CLI would have sent for the entry.
func message(e Entry, content, result json.RawMessage) protocol.Message {
	frame, err := json.Marshal(struct {
		Type      string          `json:"type"`
		Message   json.RawMessage `json:"message,omitempty"`
		Parent    *string         `json:"parent_tool_use_id"`
		SessionID string          `json:"session_id"`
		UUID      string          `json:"uuid"`
		AgentID   string          `json:"agent_id,omitempty"`
		Synthetic bool            `json:"isSynthetic,omitempty"`
		Result    json.RawMessage `json:"tool_use_result,omitempty"`
	}{e.Type, content, nil, e.SessionID, e.UUID, e.AgentID, e.Meta, result})
	if err != nil {
		return nil // what was read as JSON is JSON
	}
	m, err := protocol.Decode(frame)
	if err != nil {
		return nil
	}
	switch m.(type) {
	case *protocol.User, *protocol.Assistant:
		return m
	default:
		return nil // it lacks its message
	}
}

// Messages gives the messages of the conversation, oldest first, as a query would have: what the user, the tools and the
// model said. The CLI's notes and damaged lines are left out. Helpers of session/stream take it.
//
// Where the conversation was gone on with from an earlier entry (Options.ResumeAt), what was said after that and dropped is left out: Entries has it.
// What was said before a compaction is there, and the summary that the model has of it. In the file of a conversation with subagents from
// before they had files of their own, their messages are left out as well.
//
// The file is read twice. Some hundred bytes for each entry are held while it is.
func (c Conversation) Messages() iter.Seq2[protocol.Message, error] {
	return func(yield func(protocol.Message, error) bool) {
		lines, last, err := branch(c.Entries())
		if err != nil {
			yield(nil, err)
			return
		}
		for e, err := range c.Entries() {
			if err != nil {
				yield(nil, err)
				return
			}
			if e.Line > last { // written meanwhile
				return
			}
			if e.Message != nil && lines[e.Line] && !yield(e.Message, nil) {
				return
			}
		}
	}
}

// Summary is what a list shows of a conversation.
type Summary struct {
	Title       string // as it was given, by /rename or by the CLI; empty if it has none
	Tag         string // see Conversation.SetTag
	FirstPrompt string // what the user said first, also where that was dropped later
	CWD         string
	GitBranch   string
	Version     string // of the CLI that wrote last
	Started     time.Time
	Prompts     int // that the user gave, of those in Messages; tool results and the CLI's own texts are none
	Damaged     int // lines that cannot be read
}

// Summary reads the whole conversation, once. Some hundred bytes for each entry are held meanwhile.
func (c Conversation) Summary() (Summary, error) {
	var s Summary
	var prompts []int // their lines
	lines, _, err := branch(func(yield func(Entry, error) bool) {
		for e, err := range c.Entries() {
			if err == nil && s.add(e) {
				prompts = append(prompts, e.Line)
			}
			if !yield(e, err) {
				return
			}
		}
	})
	for _, line := range prompts {
		if lines[line] {
			s.Prompts++
		}
	}
	return s, err
}

// add takes an entry, and says whether it is a prompt.
func (s *Summary) add(e Entry) bool {
	if e.Damaged != nil {
		s.Damaged++
		return false
	}
	if s.Started.IsZero() {
		s.Started = e.Timestamp
	}
	if s.CWD == "" {
		s.CWD, s.GitBranch = e.CWD, e.GitBranch
	}
	if e.Version != "" {
		s.Version = e.Version
	}
	switch e.Type {
	case "custom-title", "ai-title":
		s.Title = titleOf(e, s.Title)
	case "tag":
		s.Tag = tagOf(e, s.Tag)
	}
	u, ok := e.Message.(*protocol.User)
	if !ok || e.Meta || e.Sidechain {
		return false
	}
	text := promptOf(u)
	if s.FirstPrompt == "" {
		s.FirstPrompt = text
	}
	return text != ""
}

func titleOf(e Entry, was string) string {
	var w struct {
		CustomTitle string `json:"customTitle"`
		AITitle     string `json:"aiTitle"`
	}
	if json.Unmarshal(e.raw, &w) != nil {
		return was
	}
	if w.CustomTitle != "" {
		return w.CustomTitle
	}
	if was == "" {
		return w.AITitle
	}
	return was
}

func tagOf(e Entry, was string) string {
	var w struct{ Tag *string }
	if json.Unmarshal(e.raw, &w) != nil || w.Tag == nil {
		return was
	}
	return *w.Tag
}

// promptOf is what a person typed; empty for a tool's result and for what the CLI says in the user's name.
func promptOf(u *protocol.User) string {
	for _, b := range u.Message.Content.Blocks() {
		if _, isResult := b.(*protocol.ToolResultBlock); isResult {
			return ""
		}
	}
	text := strings.TrimSpace(u.Message.Content.Text())
	if strings.HasPrefix(text, "<") || strings.HasPrefix(text, "[Request interrupted by user") {
		return ""
	}
	return text
}

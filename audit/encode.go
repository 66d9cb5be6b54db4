package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	maxBody = 64 << 10 // of input, output and detail each
	maxHead = 16 << 10 // what is kept of a bigger one
	maxText = 8 << 10  // of any other text
)

// tail is a record without what only the log knows: v, seq and lost. Its fields are Record's, in the order
// of the line.
type tail struct {
	ID              string          `json:"id"`
	Time            time.Time       `json:"time"`
	Runtime         string          `json:"runtime,omitempty"`
	Kind            Kind            `json:"kind"`
	Actor           string          `json:"actor,omitempty"`
	Session         string          `json:"session,omitempty"`
	SessionID       string          `json:"session_id,omitempty"`
	Generation      int             `json:"generation,omitempty"`
	Turn            int             `json:"turn,omitempty"`
	ToolUseID       string          `json:"tool_use_id,omitempty"`
	ParentToolUseID string          `json:"parent_tool_use_id,omitempty"`
	AgentID         string          `json:"agent_id,omitempty"`
	Tool            string          `json:"tool,omitempty"`
	Input           json.RawMessage `json:"input,omitempty"`
	Output          json.RawMessage `json:"output,omitempty"`
	IsError         *bool           `json:"is_error,omitempty"`
	Decision        *Decision       `json:"decision,omitempty"`
	Exit            *Exit           `json:"exit,omitempty"`
	CostUSD         float64         `json:"cost_usd,omitempty"`
	Principal       string          `json:"principal,omitempty"`
	Detail          json.RawMessage `json:"detail,omitempty"`
}

// encode makes the part of the line that follows v, seq and lost, newline included.
func encode(r Record, red *redactor) ([]byte, error) {
	if r.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make record id: %w", err)
		}
		r.ID = id.String()
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	text := func(s string) string { return cut(red.text(s)) }
	t := tail{
		ID: r.ID, Time: r.Time.UTC(), Runtime: text(r.Runtime), Kind: r.Kind, Actor: text(r.Actor),
		Session: text(r.Session), SessionID: text(r.SessionID), Generation: r.Generation, Turn: r.Turn,
		ToolUseID: text(r.ToolUseID), ParentToolUseID: text(r.ParentToolUseID), AgentID: text(r.AgentID),
		Tool: text(r.Tool), Input: body(r.Input, red), Output: body(r.Output, red), IsError: r.IsError,
		CostUSD: r.CostUSD, Principal: text(r.Principal),
	}
	if d := r.Decision; d != nil {
		t.Decision = &Decision{Outcome(text(string(d.Outcome))), text(d.By), text(d.Rule), text(d.Reason)}
	}
	if e := r.Exit; e != nil {
		t.Exit = &Exit{text(e.Reason), e.Code, text(e.Signal)}
	}
	if len(r.Detail) > 0 {
		detail, err := json.Marshal(r.Detail)
		if err != nil {
			return nil, fmt.Errorf("encode detail: %w", err)
		}
		t.Detail = body(detail, red)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(t); err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return out.Bytes()[1:], nil
}

// appendLine completes what encode made.
func appendLine(line []byte, seq, lost uint64, rest []byte) []byte {
	line = append(line, `{"v":`...)
	line = strconv.AppendInt(line, Version, 10)
	line = append(line, `,"seq":`...)
	line = strconv.AppendUint(line, seq, 10)
	if lost > 0 {
		line = append(line, `,"lost":`...)
		line = strconv.AppendUint(line, lost, 10)
	}
	line = append(line, ',')
	return append(line, rest...)
}

// body prepares JSON of any size and origin. Redaction comes before the cut and the digest: neither may
// give a secret away.
func body(raw []byte, red *redactor) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\ufffd"))
	}
	var compact bytes.Buffer
	compact.Grow(len(raw))
	var out []byte
	if err := json.Compact(&compact, raw); err != nil {
		out = append([]byte(`{"malformed":true,"text":`), quote(red.text(string(raw)))...)
		out = append(out, '}')
	} else {
		out = red.json(compact.Bytes())
	}
	if len(out) <= maxBody {
		return out
	}
	sum := sha256.Sum256(out)
	short := fmt.Appendf(nil, `{"truncated":true,"bytes":%d,"sha256":%q,"head":`, len(out), hex.EncodeToString(sum[:]))
	// The cut may make a secret out of an escape's first half.
	short = append(short, quote(red.text(string(out[:boundary(out, maxHead)])))...)
	return append(short, '}')
}

// cut shortens a text that has no business being long.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:boundary([]byte(s), maxText)], len(s))
}

// boundary is the end of the last whole rune within n bytes.
func boundary(s []byte, n int) int {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}

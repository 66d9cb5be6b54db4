package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"sync"

	"github.com/understudy-run/understudy/session/toolname"
)

// Level says how much of a tool's input or output is written. The empty level is LevelRedacted.
type Level string

// The levels.
const (
	// LevelNone writes nothing of it.
	LevelNone Level = "none"
	// LevelMetadata writes its size.
	LevelMetadata Level = "metadata"
	// LevelDigest writes its size and its SHA-256, both after redaction.
	LevelDigest Level = "digest"
	// LevelRedacted writes it after redaction, by known values and by patterns.
	LevelRedacted Level = "redacted"
	// LevelFull redacts known values only.
	LevelFull Level = "full"
)

// LevelRule sets the levels of some tools. The record itself is written at every level.
type LevelRule struct {
	// Tool is a pattern for the tool's name as of path.Match, such as mcp__github__*; empty means any. Of a tool that the CLI
	// has renamed each of the names fits.
	Tool string `json:"tool"`
	// Path is a pattern for the file that the input names (file_path, path or notebook_path), as of
	// path.Match, where a pattern that ends in /** stands for everything below; empty means any input.
	Path string `json:"path"`
	// Input and Output are the levels; empty means LevelRedacted.
	Input  Level `json:"input"`
	Output Level `json:"output"`
}

// Validate reports what cannot be meant.
func (r LevelRule) Validate() error {
	for _, level := range []Level{r.Input, r.Output} {
		switch level {
		case "", LevelNone, LevelMetadata, LevelDigest, LevelRedacted, LevelFull:
		default:
			return fmt.Errorf("audit level %.40q: expected none, metadata, digest, redacted or full", string(level))
		}
	}
	for _, pattern := range []string{r.Tool, r.Path} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("audit level rule %.60q: %w", pattern, err)
		}
	}
	return nil
}

type levels struct{ input, output Level }

// matches reports whether the rule is for a tool use.
func (r LevelRule) matches(tool string, input json.RawMessage) bool {
	if r.Tool != "" && !toolname.Any(tool, func(name string) bool { ok, _ := path.Match(r.Tool, name); return ok }) {
		return false
	}
	if r.Path == "" {
		return true
	}
	var fields struct {
		FilePath     string `json:"file_path"`
		Path         string `json:"path"`
		NotebookPath string `json:"notebook_path"`
	}
	if json.Unmarshal(input, &fields) != nil {
		return false
	}
	for _, file := range []string{fields.FilePath, fields.Path, fields.NotebookPath} {
		if file == "" {
			continue
		}
		clean := path.Clean(file)
		if below, ok := cutSuffix(r.Path, "/**"); ok {
			for dir := clean; dir != "." && dir != "/"; dir = path.Dir(dir) {
				if ok, _ := path.Match(below, dir); ok {
					return true
				}
			}
		} else if ok, _ := path.Match(r.Path, clean); ok {
			return true
		}
	}
	return false
}

func cutSuffix(s, suffix string) (string, bool) {
	if len(s) >= len(suffix) && s[len(s)-len(suffix):] == suffix {
		return s[:len(s)-len(suffix)], true
	}
	return s, false
}

// openUses bounds how many tool uses are remembered until their results come.
const openUses = 4096

// leveler finds the levels of records. A result does not say which file it is about, so that what applied
// to the intent is remembered for it.
type leveler struct {
	rules []LevelRule

	mu    sync.Mutex
	open  map[string]Level // output levels, by session and tool use
	order []string
}

func (l *leveler) levels(r *Record) levels {
	if len(l.rules) == 0 {
		return levels{}
	}
	key := r.Session + "\x00" + r.ToolUseID
	if r.Kind == ToolResult && r.ToolUseID != "" && len(r.Input) == 0 {
		l.mu.Lock()
		level, known := l.open[key]
		delete(l.open, key)
		l.mu.Unlock()
		if known {
			return levels{level, level}
		}
	}
	for _, rule := range l.rules {
		if !rule.matches(r.Tool, r.Input) {
			continue
		}
		if r.Kind == ToolIntent && r.ToolUseID != "" {
			l.remember(key, rule.Output)
		}
		return levels{rule.Input, rule.Output}
	}
	return levels{}
}

func (l *leveler) remember(key string, level Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = make(map[string]Level)
	}
	if len(l.order) >= openUses {
		delete(l.open, l.order[0])
		l.order = append(l.order[:0:0], l.order[1:]...)
	}
	l.open[key] = level
	l.order = append(l.order, key)
}

// body is what of an input or output is written. It is valid until the next call with the same tally.
func (level Level) body(raw []byte, red *redactor, n *tally) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	switch level {
	case LevelNone:
		return nil
	case LevelMetadata:
		return fmt.Appendf(nil, `{"level":"metadata","bytes":%d}`, len(raw))
	case LevelDigest:
		whole := clean(raw, red, n)
		sum := sha256.Sum256(whole)
		return fmt.Appendf(nil, `{"level":"digest","bytes":%d,"sha256":%q}`, len(whole), hex.EncodeToString(sum[:]))
	case LevelFull:
		return body(raw, red.valuesOnly(), n)
	default:
		return body(raw, red, n)
	}
}

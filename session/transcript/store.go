package transcript

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/text/unicode/norm"
)

// ErrNotFound says that there is no conversation of that id.
var ErrNotFound = errors.New("no such conversation")

// Store is where a CLI keeps its conversations.
type Store struct {
	// ConfigDir is the CLI's configuration directory. Empty: CLAUDE_CONFIG_DIR of this process, else ~/.claude. A
	// session with another HOME or CLAUDE_CONFIG_DIR in its environment has another one: see ConfigDir.
	ConfigDir string
}

// ConfigDir is the configuration directory of a CLI with that environment.
func ConfigDir(lookup func(name string) (string, bool)) string {
	if dir, ok := lookup("CLAUDE_CONFIG_DIR"); ok && dir != "" {
		return dir
	}
	home, _ := lookup("HOME")
	return filepath.Join(home, ".claude")
}

func (s Store) projects() string {
	return filepath.Join(cmp.Or(s.ConfigDir, ConfigDir(os.LookupEnv)), "projects")
}

// maxKey is how long a key may be before it is cut.
const maxKey = 200

// Key is the name that the CLI gives to a directory: every character but ASCII letters and digits is a dash, and what is
// longer than 200 is cut and has a hash behind it. Links must be resolved; List does that.
func Key(dir string) string {
	units := utf16.Encode([]rune(norm.NFC.String(dir))) // the CLI counts these
	key := make([]byte, len(units))
	var hash int32
	for i, u := range units {
		hash = hash<<5 - hash + int32(u)
		key[i] = '-'
		if u >= '0' && u <= '9' || u >= 'a' && u <= 'z' || u >= 'A' && u <= 'Z' {
			key[i] = byte(u)
		}
	}
	if len(key) <= maxKey {
		return string(key)
	}
	n := int64(hash)
	return string(key[:maxKey]) + "-" + strconv.FormatInt(max(n, -n), 36)
}

// Conversation is one of them.
type Conversation struct {
	ID       string
	Path     string    // of the file
	Bytes    int64     // its size
	Modified time.Time // when it was last written to
}

// List gives the conversations of a directory, the newest first. A directory that has none gives none.
func (s Store) List(dir string) iter.Seq2[Conversation, error] {
	return func(yield func(Conversation, error) bool) {
		abs, err := filepath.Abs(dir)
		if err == nil {
			// One that is gone may have conversations all the same.
			if real, err := filepath.EvalSymlinks(abs); err == nil {
				abs = real
			}
			var list []Conversation
			if list, err = conversations(filepath.Join(s.projects(), Key(abs))); err == nil {
				deliver(list, yield)
				return
			}
		}
		yield(Conversation{}, fmt.Errorf("list conversations of %s: %w", dir, err))
	}
}

// All gives the conversations of all directories, the newest first.
func (s Store) All() iter.Seq2[Conversation, error] {
	return func(yield func(Conversation, error) bool) {
		projects, err := os.ReadDir(s.projects())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(Conversation{}, fmt.Errorf("list conversations: %w", err))
			return
		}
		var all []Conversation
		for _, p := range projects {
			if !p.IsDir() {
				continue
			}
			list, err := conversations(filepath.Join(s.projects(), p.Name()))
			if err != nil {
				yield(Conversation{}, fmt.Errorf("list conversations: %w", err))
				return
			}
			all = append(all, list...)
		}
		newestFirst(all)
		deliver(all, yield)
	}
}

func deliver(list []Conversation, yield func(Conversation, error) bool) {
	for _, c := range list {
		if !yield(c, nil) {
			return
		}
	}
}

func newestFirst(list []Conversation) {
	slices.SortFunc(list, func(a, b Conversation) int {
		return cmp.Or(b.Modified.Compare(a.Modified), strings.Compare(a.ID, b.ID))
	})
}

func conversations(dir string) ([]Conversation, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Conversation
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".jsonl")
		if !ok || !e.Type().IsRegular() || !validID(id) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // removed in this moment
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, Conversation{ID: id, Path: filepath.Join(dir, e.Name()), Bytes: info.Size(), Modified: info.ModTime()})
	}
	newestFirst(list)
	return list, nil
}

// validID keeps what comes from outside from being a path.
func validID(id string) bool {
	if id == "" || len(id) > 100 {
		return false
	}
	for _, c := range []byte(id) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// Find looks a conversation up by its id, in all directories, as --resume does. An error is ErrNotFound if there is none.
func (s Store) Find(id string) (Conversation, error) {
	if !validID(id) {
		return Conversation{}, fmt.Errorf("%w: %q is no id", ErrNotFound, id[:min(len(id), 60)])
	}
	for c, err := range s.All() {
		if err != nil {
			return Conversation{}, err
		}
		if c.ID == id {
			return c, nil
		}
	}
	return Conversation{}, fmt.Errorf("%w: %s in %s", ErrNotFound, id, s.projects())
}

// Subagents are the conversations of its subagents, the oldest first. Their IDs are those of the agents.
func (c Conversation) Subagents() ([]Conversation, error) {
	list, err := conversations(filepath.Join(strings.TrimSuffix(c.Path, ".jsonl"), "subagents"))
	if err != nil {
		return nil, fmt.Errorf("subagents of %s: %w", c.ID, err)
	}
	slices.Reverse(list)
	for i := range list {
		list[i].ID = strings.TrimPrefix(list[i].ID, "agent-")
	}
	return list, nil
}

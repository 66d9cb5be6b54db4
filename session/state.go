package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/understudy-run/understudy/session/protocol"
)

// record is what a session keeps over restarts of its process, and of the runtime: everything a new
// incarnation starts from.
type record struct {
	Version    int    `json:"version"`
	Name       string `json:"name"`
	SessionID  string `json:"session_id"`
	Generation int    `json:"generation"`       // processes started so far
	Begun      bool   `json:"begun"`            // a prompt was sent, so that there is a conversation to resume
	Joined     bool   `json:"joined,omitempty"` // the conversation that the options name was gone on with; it is the session's now
	Turns      int    `json:"turns"`
	Ledger     ledger `json:"ledger"`
	// Running is what a turn has cost that had no result when the record was written, by its frames. The runtime may end before it has one.
	Running map[string]Cost `json:"running,omitempty"`
	// ProxyUSD is what went through key proxies, by their own count.
	ProxyUSD float64 `json:"proxy_usd,omitempty"`
	Restarts int     `json:"restarts,omitempty"` // by its supervisor

	ResumeFailures int      `json:"resume_failures,omitempty"` // processes in a row that crashed on the conversation
	Options        string   `json:"options_sha256,omitempty"`  // that it was last started with
	Budgets        []string `json:"budgets"`                   // the shared ones that it spends from; nil: in a record of an earlier version, which does not say
	CWD            string   `json:"cwd,omitempty"`
	Ephemeral      bool     `json:"ephemeral,omitempty"` // its conversation is not kept
	Queue          []queued `json:"queue,omitempty"`     // what waits, and runs

	Spawned *spawned `json:"spawned,omitempty"` // nil: it is in somebody's configuration

	// Set at run time, and applied again after a restart.
	Model          string                  `json:"model,omitempty"`
	ModelChosen    bool                    `json:"model_chosen,omitempty"` // Model counts, also if it is empty: the CLI's default
	PermissionMode protocol.PermissionMode `json:"permission_mode,omitempty"`
	Thinking       *thinkingSet            `json:"thinking,omitempty"`
	Applied        []json.RawMessage       `json:"applied_settings,omitempty"` // one request; a record of an earlier version has one for each call
	Toggled        map[string]bool         `json:"toggled_mcp_servers,omitempty"`
	// MCPModes are what SetMCPPermissionMode was told, by server.
	MCPModes map[string]protocol.PermissionMode `json:"mcp_permission_modes,omitempty"`
}

const recordVersion = 1

func newRecord(name string) record {
	return record{Version: recordVersion, Name: name, SessionID: uuid.NewString()}
}

// store is the directory that records are kept in. The zero store keeps nothing.
type store struct{ dir string }

func (s store) path(name string) string { return filepath.Join(s.dir, name+".json") }

// names are those of the sessions that there is a record of, in order.
func (s store) names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the sessions of %s: %w", s.dir, err)
	}
	var names []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if ok && ValidName(name) && e.Type().IsRegular() {
			names = append(names, name)
		}
	}
	slices.Sort(names) // that of the files is another: "a-b.json" comes before "a.json"
	return names, nil
}

// load reads a session's record. A session without one gets a new one. A record that cannot be read is
// set aside under another name, and the error says so: the session begins anew.
func (s store) load(name string) (record, error) {
	if s.dir == "" {
		return newRecord(name), nil
	}
	r, err := s.read(name)
	damaged, isDamaged := errors.AsType[*damagedError](err)
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, fs.ErrNotExist):
		return newRecord(name), nil
	case !isDamaged:
		return newRecord(name), fmt.Errorf("read state of session %s: %w", name, err)
	}
	return newRecord(name), setAside(s.path(name), "session "+name, damaged.Unwrap())
}

// check reports what is wrong with a record that was read.
func (r record) check(name string) error {
	if r.Version != recordVersion {
		return fmt.Errorf("version %d, expected %d", r.Version, recordVersion)
	}
	if r.Name != name {
		return fmt.Errorf("it belongs to session %q", cut(r.Name, 80))
	}
	if _, err := uuid.Parse(r.SessionID); err != nil {
		return fmt.Errorf("session id %q: %w", cut(r.SessionID, 60), err)
	}
	if l := r.Ledger; !believable(l.Spent) || !believable(l.Last) || !believable(l.Saved) || r.Generation < 0 || r.Turns < 0 {
		return fmt.Errorf("generation %d, turns %d, spent %v: expected 0 or more", r.Generation, r.Turns, l.Spent)
	}
	return nil
}

// setAside renames a file that cannot be read, such that none that was set aside before is lost, and says so.
func setAside(path, whose string, cause error) error {
	aside := path + ".damaged"
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) || n > 1000 {
			break
		}
		aside = fmt.Sprintf("%s.damaged-%d", path, n)
	}
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("state file %s is damaged (%w) and cannot be set aside: %w", path, cause, err)
	}
	return fmt.Errorf("state file %s is damaged and was set aside as %s, %s begins anew: %w", path, filepath.Base(aside), whose, cause)
}

// save writes a record such that a crash at any moment leaves the old one or the new one.
func (s store) save(r record) error {
	if s.dir == "" {
		return nil
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("save state of session %s: %w", r.Name, err)
	}
	if err := replaceFile(s.path(r.Name), append(data, '\n')); err != nil {
		return fmt.Errorf("save state of session %s: %w", r.Name, err)
	}
	return nil
}

// forget removes a session's record.
func (s store) forget(name string) error {
	if s.dir == "" {
		return nil
	}
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove state of session %s: %w", name, err)
	}
	return nil
}

// unfinished is between the name of a file and what tells the file that is to replace it from others.
const unfinished = ".new-"

func replaceFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+unfinished+"*") // mode 0600
	if errors.Is(err, fs.ErrNotExist) {                              // the first there, or somebody has removed it
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		f, err = os.CreateTemp(dir, filepath.Base(path)+unfinished+"*")
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil // renamed; only its durability is in doubt, and a reader of the directory would say the same
	}
	syncErr := d.Sync()
	return errors.Join(syncErr, d.Close())
}

// ClearUnfinished removes what writes left that were cut by the end of an earlier runtime on the data directory, whose lock the caller holds.
// The files that they were to replace are whole.
func ClearUnfinished(dataDir string) error {
	var problems []error
	for _, dir := range []string{dataDir, filepath.Join(dataDir, "state"), filepath.Join(dataDir, "budgets")} {
		left, err := filepath.Glob(filepath.Join(globbed(dir), "*.json"+unfinished+"*"))
		problems = append(problems, err)
		for _, path := range left {
			problems = append(problems, os.Remove(path))
		}
	}
	return errors.Join(problems...)
}

// globbed is a path for a pattern that is to mean it literally.
func globbed(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

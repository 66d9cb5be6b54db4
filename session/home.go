package session

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/understudy-run/understudy/session/process"
)

// isolated reports whether the session has a HOME of its own.
func (o Options) isolated() bool {
	if o.IsolateHome != nil {
		return *o.IsolateHome
	}
	_, set := o.Env["HOME"]
	return o.NoSessionPersistence && !set && o.launcher().Container == "" // which has directories of its own
}

// shared reports whether the CLI would keep its temporary files where other sessions of this host keep theirs.
func (o Options) shared() bool {
	_, set := o.Env["CLAUDE_CODE_TMPDIR"]
	return !set && !o.Sandbox.InContainer() && (o.Launcher.IsZero() || o.Launcher.Kind == process.LaunchBwrap)
}

// isolate gives a launch a HOME, if it is to have one, and a directory for temporary files that are nobody else's. What is
// removed by release is gone with the process: everything if the conversation is not to be kept, the temporary files otherwise.
//
// CLI 2.1.330 writes its settings into a file named after what is in them, and takes it away a moment later. With one directory
// for all, a tool of one session fails when an equal session starts just then: the sandbox was told of a file that is gone.
func (s *Session) isolate(o Options, l *process.Launch) (release func(), err error) {
	if !o.isolated() && !o.shared() {
		return func() {}, nil
	}
	scratch, release, err := s.scratch()
	if err != nil {
		return release, err
	}
	own := func(dirs map[string]string) {
		maps.Copy(dirs, l.Env) // what is said on purpose counts
		l.Env = dirs
	}
	if !o.isolated() {
		own(map[string]string{"CLAUDE_CODE_TMPDIR": scratch})
		return release, nil
	}
	home := filepath.Join(scratch, "home")
	if !o.NoSessionPersistence {
		if s.spec.StateDir == "" {
			release()
			return func() {}, errors.New("isolate_home: without a data directory there is nowhere to keep it; set DataDir, or no_session_persistence")
		}
		home = s.keptHome()
	}
	tmp := filepath.Join(scratch, "tmp")
	for _, dir := range []string{home, tmp} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			release()
			return func() {}, fmt.Errorf("isolate_home: %w", err)
		}
	}
	own(map[string]string{"HOME": home, "TMPDIR": tmp, "CLAUDE_CODE_TMPDIR": tmp})
	// It would lead back to the HOME of this user.
	for _, name := range []string{"CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
		if _, set := o.Env[name]; !set {
			l.UnsetEnv = append(slices.Clone(l.UnsetEnv), name)
		}
	}
	return release, nil
}

// keptHome is the HOME of a session whose conversation is kept.
func (s *Session) keptHome() string {
	return filepath.Join(filepath.Dir(s.spec.StateDir), "home", s.name)
}

// forgetHome removes it, if the session has one.
func (s *Session) forgetHome() error {
	if s.spec.StateDir == "" || !s.spec.Options.isolated() {
		return nil
	}
	return os.RemoveAll(s.keptHome())
}

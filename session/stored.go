package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

	"github.com/understudy-run/understudy/session/process"
)

// spawned is what a record keeps of a session that is in nobody's configuration.
type spawned struct {
	Options Options `json:"options"`
	Partial bool    `json:"partial,omitempty"` // something was left out
	Retired bool    `json:"retired,omitempty"` // it was stopped on request, and is to stay so

	encoded []byte // as it is written, every time; nil: it is encoded each time
}

// spawnedFields is spawned without its methods.
type spawnedFields spawned

// MarshalJSON implements json.Marshaler.
func (s *spawned) MarshalJSON() ([]byte, error) {
	if s.encoded != nil {
		return s.encoded, nil
	}
	return json.Marshal((*spawnedFields)(s))
}

// encode encodes it once for all: options are most of a record, and stay as they are.
func (s *spawned) encode() *spawned {
	s.encoded = nil
	s.encoded, _ = json.Marshal(s) // what is wrong with it whoever writes the record is told
	return s
}

// spawned are the options without what is secret and what is no data.
func (o Options) spawned() *spawned {
	s := &spawned{Options: o}
	s.Partial = o.APIKey != "" || o.CanUseTool != nil || o.ToolCallback != nil
	s.Options.APIKey = ""
	s.Options.Env = maps.Clone(o.Env)
	maps.DeleteFunc(s.Options.Env, func(name, _ string) bool {
		secret := process.SecretName(name)
		s.Partial = s.Partial || secret
		return secret
	})
	var secret bool
	if s.Options.Settings.Values, secret = process.WithoutSecrets(o.Settings.Values); secret {
		s.Partial = true
	}
	if s.Options.ManagedSettings, secret = process.WithoutSecrets(o.ManagedSettings); secret {
		s.Partial = true
	}
	s.Options.MCPServers = maps.Clone(o.MCPServers)
	for name, server := range s.Options.MCPServers {
		if len(server.Env)+len(server.Headers) > 0 { // they would come back as [redacted]
			server.Env, server.Headers = nil, nil
			s.Options.MCPServers[name], s.Partial = server, true
		}
	}
	return s.encode()
}

// Stored is a session that a directory has a record of.
type Stored struct {
	Name    string
	Options Options // without what is secret, and without functions
	Partial bool    // there was something of these
	Retired bool    // it was stopped on request
}

// ListStored returns the sessions in a StateDir that were spawned, by name. Records that cannot be read are left for New to set
// aside; the error joins what is wrong with them.
func ListStored(dir string) ([]Stored, error) {
	names, err := store{dir}.names()
	if err != nil {
		return nil, err
	}
	var all []Stored
	var problems []error
	for _, name := range names {
		r, err := store{dir}.read(name)
		if err != nil {
			problems = append(problems, fmt.Errorf("state of session %s: %w", name, err))
			continue
		}
		if r.Spawned != nil {
			all = append(all, Stored{name, r.Spawned.Options, r.Spawned.Partial, r.Spawned.Retired})
		}
	}
	return all, errors.Join(problems...)
}

// Retire notes on disk whether a spawned session was stopped on request: then no later program starts it by itself. The session
// must not be running, or about to. Of one that is being removed, or was, nothing is noted: it would come back.
func (s *Session) Retire(retired bool) error {
	var kept record
	changed := false
	s.desk.update(func(r *record, _ *Info) {
		if r.Spawned != nil && r.Spawned.Retired != retired {
			next := *r.Spawned // a record that is being written shares it
			next.Retired = retired
			r.Spawned, changed = next.encode(), true
		}
		kept = *r
	})
	if !changed {
		return nil
	}
	kept.Queue = s.desk.queued(s.spec.Options.Redeliver)
	return s.file(kept)
}

// read reads a record. One that is not there is fs.ErrNotExist.
func (s store) read(name string) (record, error) {
	data, err := os.ReadFile(s.path(name))
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, &damagedError{err}
	}
	if err := r.check(name); err != nil {
		return record{}, &damagedError{err}
	}
	return r, nil
}

// damagedError says that a file was read and is none of ours.
type damagedError struct{ error }

func (e *damagedError) Unwrap() error { return e.error }

// HasRecord reports whether a StateDir has a record of that name.
func HasRecord(dir, name string) (bool, error) {
	if dir == "" || !ValidName(name) {
		return false, nil
	}
	_, err := os.Lstat(store{dir}.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// ErrNoConversation says that a session has no conversation that could be gone on with.
var ErrNoConversation = errors.New("no conversation")

// Conversation is the id of the session's conversation, or ErrNoConversation if there is none that another session could go on with.
func (s *Session) Conversation() (string, error) {
	kept, _ := s.desk.snapshot()
	switch {
	case s.spec.Options.NoSessionPersistence:
		return "", fmt.Errorf("session %s: %w: it is not kept (no_session_persistence)", s.name, ErrNoConversation)
	case s.spec.Options.isolated():
		return "", fmt.Errorf("session %s: %w: it is in a HOME that is this session's alone (isolate_home)", s.name, ErrNoConversation)
	case !kept.Begun:
		return "", fmt.Errorf("session %s: %w: nobody has asked it anything", s.name, ErrNoConversation)
	}
	return kept.SessionID, nil
}

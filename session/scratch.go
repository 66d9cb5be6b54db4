package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/understudy-run/understudy/session/process"
)

// scratchPrefix is what the names of these directories begin with.
const scratchPrefix = "understudy-"

// scratch makes a directory for the temporary files of one process, 0700. Where there is a data directory a link in it says
// that it exists, so that a runtime that was killed leaves nothing for ever: see ClearScratch.
func (s *Session) scratch() (dir string, remove func(), err error) {
	failed := func(err error) (string, func(), error) {
		return "", func() {}, &process.StartError{Class: process.ClassResources, Path: "temporary directory", Err: err,
			Hint: "TMPDIR must lead to a directory with space that this user can write"}
	}
	// Not in the data directory: sockets are made in it, and their paths must be short.
	dir, err = os.MkdirTemp("", scratchPrefix+"*")
	if err != nil {
		return failed(err)
	}
	link := ""
	if s.spec.StateDir != "" {
		links := scratchLinks(filepath.Dir(s.spec.StateDir))
		link = filepath.Join(links, filepath.Base(dir))
		if err := errors.Join(os.MkdirAll(links, 0o700), os.Symlink(dir, link)); err != nil {
			return failed(errors.Join(err, os.Remove(dir)))
		}
	}
	return dir, func() {
		err := os.RemoveAll(dir)
		if err == nil && link != "" {
			err = os.Remove(link)
		}
		if err != nil {
			s.spec.Logger.Error().Err(err).Str("session", s.name).Msg("the session's files cannot be removed")
		}
	}, nil
}

func scratchLinks(dataDir string) string { return filepath.Join(dataDir, "tmp") }

// ClearScratch removes the temporary files of processes that an earlier runtime on the data directory had started and could
// not clear away. The caller holds the directory's lock, and the processes have ended.
func ClearScratch(dataDir string) error {
	links := scratchLinks(dataDir)
	entries, err := os.ReadDir(links)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("temporary files of an earlier runtime: %w", err)
	}
	var problems []error
	for _, entry := range entries {
		link := filepath.Join(links, entry.Name())
		dir, err := os.Readlink(link)
		if err != nil || filepath.Base(dir) != entry.Name() || !strings.HasPrefix(entry.Name(), scratchPrefix) {
			problems = append(problems, fmt.Errorf("%s is not ours; remove it", link))
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			problems = append(problems, err)
			continue
		}
		problems = append(problems, os.Remove(link))
	}
	return errors.Join(problems...)
}

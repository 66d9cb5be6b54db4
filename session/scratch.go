package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/understudy-run/understudy/session/process"
)

// scratchPrefix is what the names of directories with temporary files begin with.
const scratchPrefix = "understudy-"

// Scratch has the directories for the temporary files of processes: one for each, 0700, all of a runtime in one, which is there as
// long as any of them is. Where there is a data directory a link in it says where that one is, so that a runtime that was killed
// leaves nothing for ever: see ClearScratch.
type Scratch struct {
	dataDir string // empty: there is none

	mu    sync.Mutex
	root  string // empty: no process has one
	link  string
	users int
	made  int
}

// NewScratch is the Scratch of a runtime on that data directory, which may be empty. Nothing is made before the first process needs it.
func NewScratch(dataDir string) *Scratch { return &Scratch{dataDir: dataDir} }

// take makes a directory. give removes it, with all that is in it.
func (s *Scratch) take() (dir string, give func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	if s.root != "" {
		dir = filepath.Join(s.root, strconv.Itoa(s.made))
		err = os.Mkdir(dir, 0o700)
	}
	if s.root == "" || errors.Is(err, os.ErrNotExist) { // the first, or somebody has cleaned up
		if err = s.begin(); err == nil {
			dir = filepath.Join(s.root, strconv.Itoa(s.made))
			err = os.Mkdir(dir, 0o700)
		}
	}
	if err != nil {
		if s.users == 0 {
			err = errors.Join(err, s.end())
		}
		return "", nil, err
	}
	s.users++
	return dir, sync.OnceValue(func() error {
		err := os.RemoveAll(dir)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.users--
		if s.users == 0 {
			err = errors.Join(err, s.end())
		}
		return err
	}), nil
}

// begin makes the directory that all are in.
func (s *Scratch) begin() (err error) {
	gone := s.link
	// Not in the data directory: sockets are made in it, and their paths must be short.
	if s.root, err = os.MkdirTemp("", scratchPrefix+"*"); err != nil || s.dataDir == "" {
		return err
	}
	links := scratchLinks(s.dataDir)
	s.link = filepath.Join(links, filepath.Base(s.root))
	if err := errors.Join(os.MkdirAll(links, 0o700), os.Symlink(s.root, s.link)); err != nil {
		err = errors.Join(err, os.Remove(s.root))
		s.root, s.link = "", gone
		return err
	}
	if gone != "" {
		_ = os.Remove(gone) // it leads nowhere; the next runtime tries again
	}
	return nil
}

// end removes what begin has made.
func (s *Scratch) end() error {
	root, link := s.root, s.link
	s.root, s.link = "", ""
	if root == "" {
		return nil
	}
	err := os.RemoveAll(root)
	if err == nil && link != "" {
		err = os.Remove(link)
	}
	return err
}

// scratch makes a directory for the temporary files of one process.
func (s *Session) scratch() (dir string, remove func(), err error) {
	dir, give, err := s.spec.Scratch.take()
	if err != nil {
		return "", func() {}, &process.StartError{Class: process.ClassResources, Path: "temporary directory", Err: err,
			Hint: "TMPDIR must lead to a directory with space that this user can write"}
	}
	return dir, func() {
		if err := give(); err != nil {
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

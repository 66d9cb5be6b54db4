package understudy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/session/process"
)

// dirLock keeps a second runtime out of a data directory. The kernel releases it with the process, so a
// killed runtime leaves no stale one.
type dirLock struct{ file *os.File }

// lockDataDir makes the directory if it is missing, locks it, and returns the runtime's id. The id stays
// the same for a directory, so that a runtime can tell which stray processes are its predecessor's. An
// empty dir gives a new id and no lock.
func lockDataDir(dir string) (*dirLock, string, error) {
	if dir == "" {
		return &dirLock{}, uuid.NewString(), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, "understudy.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, "", fmt.Errorf("data directory: %w", err)
	}
	lock := &dirLock{f}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path) // best effort, for the message
		err = fmt.Errorf("%w: %s is locked by another runtime (pid %s): stop it, or give this one another data_dir",
			ErrDataDirInUse, dir, strings.TrimSpace(string(holder)))
		return nil, "", errors.Join(err, f.Close())
	}
	id, err := runtimeID(filepath.Join(dir, "runtime.id"))
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	}
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("data directory: %w", err), lock.release())
	}
	return lock, id, nil
}

func runtimeID(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		if id, err := uuid.Parse(strings.TrimSpace(string(data))); err == nil {
			return id.String(), nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	id := uuid.NewString()
	return id, os.WriteFile(path, []byte(id+"\n"), 0o600)
}

// openLedger ends what an earlier runtime on this data directory had seen its sessions start and nothing else finds. We hold the
// directory's lock, so it is nobody else's. A list that is damaged, or can't be written, is no reason not to start.
func (rt *Runtime) openLedger() {
	if rt.options.DataDir == "" {
		return
	}
	ledger, swept, err := process.OpenLedger(filepath.Join(rt.options.DataDir, "processes.json"))
	if len(swept.Killed) > 0 {
		rt.log.Warn().Int("processes", len(swept.Killed)).Msg("ended tools that an earlier runtime had left running")
	}
	if err := errors.Join(err, swept.Err); err != nil {
		rt.log.Warn().Err(err).Msg("tools of an earlier runtime may be left")
	}
	rt.ledger = ledger
}

// release gives up the lock by name and not only by closing the file: a child that the program is forking at
// this moment has a copy of the descriptor until it executes, and would hold the lock that long.
func (l *dirLock) release() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
}

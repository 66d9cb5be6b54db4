package audit

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fullDisk is a disk with so many bytes left. The reserve's removal gives its bytes back.
type fullDisk struct {
	testDisk
	space   sync.Mutex
	limited bool
	left    int64
}

func newFullDisk() *fullDisk {
	return &fullDisk{}
}

func (d *fullDisk) Open(path string, flag int) (file, error) {
	f, err := d.realDisk.Open(path, flag)
	if err != nil {
		return nil, err
	}
	return &fullFile{f, d}, nil
}

func (d *fullDisk) Rename(from, to string) error { return d.realDisk.Rename(from, to) }

func (d *fullDisk) Same(f file, path string) error { return d.realDisk.Same(f.(*fullFile).file, path) }

func (d *fullDisk) Lock(f file) error { return d.realDisk.Lock(f.(*fullFile).file) }

func (d *fullDisk) Remove(path string) error {
	err := d.realDisk.Remove(path)
	if err == nil && strings.HasSuffix(path, reserveName) {
		d.space.Lock()
		d.left += 8000
		d.space.Unlock()
	}
	return err
}

func (d *fullDisk) limit(left int64) {
	d.space.Lock()
	defer d.space.Unlock()
	d.limited, d.left = left >= 0, left
}

type fullFile struct {
	file
	disk *fullDisk
}

func (f *fullFile) WriteAt(p []byte, at int64) (int, error) {
	f.disk.space.Lock()
	defer f.disk.space.Unlock()
	if f.disk.limited {
		if int64(len(p)) > f.disk.left {
			n, _ := f.file.WriteAt(p[:f.disk.left], at)
			f.disk.left = 0
			return n, unix.ENOSPC
		}
		f.disk.left -= int64(len(p))
	}
	return f.file.WriteAt(p, at)
}

func (f *fullFile) WriteSynced(p []byte, at int64) error { return writeThenSync(f, p, at) }

func TestFull(t *testing.T) {
	for _, mode := range []Mode{Required, BestEffort} {
		t.Run(mode.String(), func(t *testing.T) {
			d := newFullDisk()
			trail := newTrail(t, Options{Mode: mode, Reserve: 8000}, d)
			trail.retry = time.Millisecond
			pid := start(t, trail)
			require.NoError(t, trail.Append(deadline(t), turn(1)))
			d.limit(100)
			err := trail.Append(deadline(t), turn(2))
			require.ErrorIs(t, err, unix.ENOSPC)
			require.Eventually(t, func() bool { return errors.Is(trail.Health(), ErrFull) }, time.Minute, time.Millisecond)
			// An intent is refused, the end of a session is not.
			err = trail.Append(deadline(t), Record{Kind: ToolIntent, Tool: "Bash"})
			require.ErrorIs(t, err, ErrFull)
			require.NoError(t, trail.Append(deadline(t), Record{Kind: SessionStopped, Session: "a"}))
			assert.False(t, trail.Status().Open)
			assert.Contains(t, trail.Status().LastError, "disk of the audit log is full")

			d.limit(-1)
			works(t, trail)
			require.NoError(t, trail.Append(deadline(t), turn(3)))
			stop(t, pid)
			records := read(t, trail.options.Dir)
			var kinds []Kind
			for _, kind := range kindsOf(records) {
				if kind != LogGap {
					kinds = append(kinds, kind)
				}
			}
			assert.Equal(t, []Kind{
				LogOpened, TurnStarted, LogRotated, LogOpened, LogRecovered, LogFull, SessionStopped, LogRecovered, TurnStarted, LogClosed,
			}, kinds)
			report := verify(t, trail.options.Dir)
			if mode == Required {
				assert.Equal(t, 0, report.Code(), "%v", report.Findings)
			} else {
				assert.Equal(t, 3, report.Code(), "%v", report.Findings)
				assert.EqualValues(t, 2, report.Lost)
			}
		})
	}
}

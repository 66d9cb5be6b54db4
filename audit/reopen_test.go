package audit

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// ailing is a disk on which whatever is written fails while something is wrong with it. It counts how often the log is opened.
type ailing struct {
	testDisk
	wrong  atomic.Pointer[unix.Errno]
	opened atomic.Int64
}

func newAiling() *ailing {
	d := &ailing{}
	d.hook = func(s step) (fault, error) {
		if s.op == "open "+lockName {
			d.opened.Add(1)
		}
		if wrong := d.wrong.Load(); wrong != nil && strings.HasPrefix(s.op, "write") {
			return lost, *wrong
		}
		return fine, nil
	}
	return d
}

func (d *ailing) fails(how unix.Errno) { d.wrong.Store(&how) }

func (d *ailing) works() { d.wrong.Store(nil) }

// failures counts the lines of the daemon's log that say that this log has failed.
type failures struct{ atomic.Int64 }

func (f *failures) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("audit log failed")) {
		f.Add(1)
	}
	return len(line), nil
}

// TestALogIsOpenSoonAfterItCanBe: however long a log could not be written, and however often, it takes records within a second of
// the moment in which it could be opened; by then it was tried once a second and no more, its actor was not restarted, and the
// daemon's log has a line a minute.
func TestALogIsOpenSoonAfterItCanBe(t *testing.T) {
	for name, c := range map[string]struct {
		mode    Mode
		wrong   unix.Errno
		reserve int64
		kill    bool // the actor is killed and started meanwhile
	}{
		"full, and the reserve is used up": {wrong: unix.ENOSPC},
		"a quota":                          {wrong: unix.EDQUOT, reserve: -1},
		"read-only":                        {wrong: unix.EROFS},
		"an error":                         {wrong: unix.EIO},
		"an error, best effort":            {wrong: unix.EIO, mode: BestEffort},
		"killed meanwhile":                 {wrong: unix.ENOSPC, kill: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := scratch(t)
			synctest.Test(t, func(t *testing.T) {
				d := newAiling()
				var said failures
				trail := newTrail(t, Options{
					Dir: dir + "/audit", Mode: c.mode, Reserve: c.reserve, Logger: zerolog.New(&said),
				}, d)
				pid := start(t, trail)
				require.NoError(t, trail.Append(t.Context(), turn(1)))
				for round := range 2 {
					time.Sleep(5 * time.Second)
					d.fails(c.wrong)
					require.ErrorIs(t, trail.Append(t.Context(), turn(2)), c.wrong)
					started := make(chan error, 1)
					if c.kill {
						kill(pid, trail)
						again := make(chan struct{})
						go func() {
							defer close(again)
							var err error
							pid, err = trail.Start(context.Background())
							started <- err
						}()
						defer func() { <-again }()
					}
					time.Sleep(2 * time.Minute)
					synctest.Wait()
					require.Error(t, trail.Health())
					assert.NotErrorIs(t, trail.Health(), errNotRunning)
					before, lines := d.opened.Load(), said.Load()
					time.Sleep(time.Minute)
					synctest.Wait()
					tries := d.opened.Load() - before
					assert.GreaterOrEqual(t, tries, int64(59))
					assert.LessOrEqual(t, tries, int64(61))
					assert.LessOrEqual(t, said.Load(), lines+1)
					// What comes meanwhile waits, as long as it may, where the log is required.
					waits := make(chan error, 1)
					if c.mode == Required {
						go func() { waits <- trail.Append(t.Context(), turn(3)) }()
					} else {
						waits <- nil
					}
					synctest.Wait()
					d.works()
					time.Sleep(time.Second)
					synctest.Wait()
					require.NoError(t, trail.Health(), "round %d", round)
					require.NoError(t, <-waits)
					if c.kill {
						require.NoError(t, <-started)
					}
					require.NoError(t, trail.Append(t.Context(), turn(4)))
					assert.True(t, pid.Alive())
				}
				stop(t, pid)
				released(trail)
				report, err := Verify(context.Background(), trail.options.Dir, VerifyOptions{})
				require.NoError(t, err)
				assert.Equal(t, map[Mode]int{Required: 0, BestEffort: 3}[c.mode], report.Code(), "%v", report.Findings)
			})
		})
	}
}

// TestOneErrorIsOverSoon: a log that has worked, and whose next file does, is shut for a tenth of a second.
func TestOneErrorIsOverSoon(t *testing.T) {
	dir := scratch(t)
	synctest.Test(t, func(t *testing.T) {
		d := newAiling()
		trail := newTrail(t, Options{Dir: dir + "/audit"}, d)
		pid := start(t, trail)
		for n, want := range []time.Duration{100 * time.Millisecond, time.Second, time.Second} { // what fails again at once may go on so
			if n == 0 {
				time.Sleep(time.Minute)
			}
			d.fails(unix.EIO)
			require.ErrorIs(t, trail.Append(t.Context(), turn(1)), unix.EIO)
			d.works()
			synctest.Wait()
			begun := time.Now()
			require.NoError(t, trail.Append(t.Context(), turn(2)))
			assert.Equal(t, want, time.Since(begun))
		}
		stop(t, pid)
		released(trail)
	})
}

// TestAFullLogFindsRoomUnasked: one that was opened on a full disk, and that nobody asks for anything since it is full.
func TestAFullLogFindsRoomUnasked(t *testing.T) {
	dir := scratch(t)
	synctest.Test(t, func(t *testing.T) {
		d := newAiling()
		trail := newTrail(t, Options{Dir: dir + "/audit"}, d)
		stop(t, start(t, trail))
		released(trail)
		d.hook = func(s step) (fault, error) {
			if wrong := d.wrong.Load(); wrong != nil && strings.HasSuffix(s.op, reserveName) {
				return lost, *wrong
			}
			return fine, nil
		}
		require.NoError(t, trail.disk.Remove(dir+"/audit/"+reserveName))
		d.fails(unix.ENOSPC)
		pid := start(t, trail)
		require.ErrorIs(t, trail.Health(), ErrFull)
		time.Sleep(time.Hour)
		require.ErrorIs(t, trail.Health(), ErrFull)
		d.works()
		time.Sleep(time.Second)
		synctest.Wait()
		require.NoError(t, trail.Health())
		stop(t, pid)
		released(trail)
	})
}

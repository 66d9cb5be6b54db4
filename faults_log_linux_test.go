package understudy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
)

// Fault: the disk of a required audit log is full, has room, and is full again, three times, once with no room even for last words
// Outcome: queries are refused while it is full, and answered soon after there is room, however often it was; no actor is restarted for
// it, the tree says what is wrong, and each turn that ran is in the log, which verifies
// On: simulated
func TestAFullDiskForTheLog(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	dir := r.TempDir()
	disk := func(flags uintptr, size string) error { return unix.Mount("tmpfs", dir, "tmpfs", flags, "size="+size) }
	if err := disk(0, "8m"); err != nil {
		t.Skip("a small disk cannot be mounted here: ", err)
	}
	r.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	r.options.Audit.Dir = filepath.Join(dir, "audit")
	r.boot()
	r.mustAsk("one")
	for n, wait := range []func(audit.Status) bool{
		func(audit.Status) bool { return true }, // room before the log has been tried again
		func(s audit.Status) bool { return strings.Contains(s.LastError, audit.ErrFull.Error()) },
		func(s audit.Status) bool { return !strings.Contains(s.LastError, "write and sync") }, // an opening has failed
	} {
		if n == 2 { // not even for last words
			require.NoError(t, os.Remove(filepath.Join(r.options.Audit.Dir, "audit.reserve")))
		}
		r.until("the disk is full", func() bool { // it cannot be smaller than what is on it, which may just have grown
			var now unix.Statfs_t
			require.NoError(t, unix.Statfs(dir, &now))
			return disk(unix.MS_REMOUNT, fmt.Sprint((now.Blocks-now.Bfree)*uint64(now.Bsize))) == nil
		})
		r.until("queries are refused", func() bool {
			_, err := r.ask("in vain") // a page may have some room left
			if err != nil {
				assert.ErrorIs(t, err, session.ErrAuditUnavailable)
			}
			return r.rt.Audit().Health() != nil
		})
		r.until("it is as full as it shall be", func() bool { return wait(r.rt.Audit().Status()) })
		tree, err := r.rt.Tree(r.within())
		require.NoError(t, err)
		log := nodeOf(tree, "audit")
		assert.Equal(t, "running", log.State)
		assert.Contains(t, log.Reason, "full")
		require.NoError(t, disk(unix.MS_REMOUNT, "8m"))
		r.until("there is room", func() bool { return r.Info().Refusing == nil })
		assert.Equal(t, fmt.Sprint("echo: and on ", n), r.mustAsk(fmt.Sprint("and on ", n)).Text)
	}
	assert.Equal(t, 1, r.Info().Generation)
	tree, err := r.rt.Tree(r.within())
	require.NoError(t, err)
	log := nodeOf(tree, "audit")
	assert.Zero(t, log.Restarts)
	assert.Empty(t, log.Reason)
	shutdown(t, r.rt)
	report, err := audit.Verify(t.Context(), r.options.Audit.Dir, audit.VerifyOptions{})
	require.NoError(t, err)
	for _, finding := range report.Findings {
		assert.NotEqual(t, audit.Tampered, finding.Class, "%s", finding)
	}
	turns := 0
	for record, err := range audit.Read(r.options.Audit.Dir) {
		require.NoError(t, err)
		if record.Kind == audit.TurnStarted {
			turns++
		}
	}
	assert.GreaterOrEqual(t, turns, r.Info().Turns)
}

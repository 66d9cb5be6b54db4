package audit

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit/internal/format"
)

func TestLockedInThisProcess(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	start(t, trail)
	_, err := newTrail(t, Options{Dir: trail.options.Dir}, nil).Start(deadline(t))
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	assert.Equal(t, os.Getpid(), locked.PID)
	require.NoError(t, trail.Append(deadline(t), turn(1)))
}

func TestPlaces(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T, dir string) // dir does not exist
		want string                         // the error; empty: none
	}{
		{"created", func(*testing.T, string) {}, ""},
		{"empty and open to others", func(t *testing.T, dir string) { require.NoError(t, os.Mkdir(dir, 0o755)) }, ""},
		{"an open log", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Chmod(dir, 0o755))
			require.NoError(t, os.Chmod(Path(dir), 0o666))
			require.NoError(t, os.Chmod(filepath.Join(dir, keyName), 0o644))
		}, ""},
		{"others' directory", func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(dir, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644))
		}, "run chmod 700 on it"},
		{"a closed directory with others' files", func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(dir, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644))
		}, ""},
		{"a file", func(t *testing.T, dir string) { require.NoError(t, os.WriteFile(dir, nil, 0o600)) }, "it is a file"},
		{"the log is a directory", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Remove(Path(dir)))
			require.NoError(t, os.MkdirAll(filepath.Join(dir, segment1), 0o700))
		}, "expected a plain file"},
		{"the log is a link", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Remove(Path(dir)))
			require.NoError(t, os.Symlink("/dev/null", filepath.Join(dir, segment1)))
		}, "expected a plain file"},
		{"the log is a pipe", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Remove(Path(dir)))
			require.NoError(t, syscall.Mkfifo(filepath.Join(dir, segment1), 0o600))
		}, "no plain file"},
		{"no log of ours", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.WriteFile(Path(dir), []byte("one\ntwo\n"), 0o600))
		}, "changed from outside"},
		{"a later format", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.WriteFile(Path(dir), format.AppendFrame(nil, []byte(`{"format":"understudy audit segment 2"}`)), 0o600))
		}, `a segment of format "understudy audit segment 2"`},
		{"a later version", func(t *testing.T, dir string) {
			begin(t, dir)
			f, err := os.OpenFile(Path(dir), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.Write(format.AppendFrame(nil, []byte(`{"v":2,"seq":3,"kind":"x","new":1}`)))
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}, "record of version 2"},
		{"the key is gone", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Remove(filepath.Join(dir, keyName)))
		}, "put it back"},
		{"another key", func(t *testing.T, dir string) {
			begin(t, dir)
			begin(t, dir+"2")
			require.NoError(t, os.Rename(filepath.Join(dir+"2", keyName), filepath.Join(dir, keyName)))
		}, "signed with another key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(scratch(t), "audit")
			test.make(t, dir)
			trail := newTrail(t, Options{Dir: dir}, nil)
			pid, err := trail.Start(deadline(t))
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				assert.ErrorContains(t, err, dir)
				assert.Equal(t, err.Error(), trail.Status().LastError)
				return
			}
			require.NoError(t, err)
			stop(t, pid)
			for path, mode := range map[string]fs.FileMode{dir: 0o700, Path(dir): 0o600} {
				info, err := os.Stat(path)
				require.NoError(t, err)
				assert.Equal(t, mode, info.Mode().Perm(), path)
			}
		})
	}
	t.Run("below a file", func(t *testing.T) {
		path := filepath.Join(scratch(t), "file")
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		_, err := newTrail(t, Options{Dir: filepath.Join(path, "audit")}, nil).Start(deadline(t))
		assert.ErrorContains(t, err, "a part of the path is a file")
	})
	t.Run("unwritable", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere; the fault table has it")
		}
		dir := filepath.Join(scratch(t), "audit")
		require.NoError(t, os.Mkdir(dir, 0o500))
		_, err := newTrail(t, Options{Dir: dir}, nil).Start(deadline(t))
		require.ErrorIs(t, err, fs.ErrPermission)
		assert.ErrorContains(t, err, "check its owner and mode")
	})
	t.Run("none", func(t *testing.T) {
		_, err := New(actor.NewSystem(actor.Options{}), Options{}).Start(deadline(t))
		assert.ErrorContains(t, err, "set audit.dir")
	})
}

// begin makes a log with two records.
func begin(t *testing.T, dir string) {
	stop(t, start(t, newTrail(t, Options{Dir: dir}, nil)))
}

func TestNameInUse(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	start(t, trail)
	other := New(trail.system, Options{Dir: filepath.Join(scratch(t), "other")})
	_, err := other.Start(deadline(t))
	require.ErrorIs(t, err, actor.ErrNameTaken)
	// Nothing is left open: another name will do.
	again := newTrail(t, Options{Dir: other.options.Dir, Name: "b"}, nil)
	start(t, again)
}

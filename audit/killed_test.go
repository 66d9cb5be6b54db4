package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKilledAtEveryStep has the files as a kill -9 leaves them before each operation of a log's life, and after the half of
// each write: what was written is there, since the kernel lives. Each time verify finds nothing worse than a torn end, and
// the next process goes on with all that was acknowledged. (TestKilledProcess kills real ones.)
func TestKilledAtEveryStep(t *testing.T) {
	parent := scratch(t)
	type left struct {
		dir, step    string
		acknowledged int
	}
	var mu sync.Mutex
	var all []left
	acknowledged := 0
	dir := filepath.Join(scratch(t), "audit")
	keep := func(step string) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := os.Stat(dir); err != nil {
			return // it is not there yet
		}
		copied := filepath.Join(parent, fmt.Sprint(len(all)))
		assert.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
		assert.NoError(t, os.Chmod(copied, 0o700))
		all = append(all, left{copied, step, acknowledged})
	}
	d := &killedDisk{keep: keep}
	trail := newTrail(t, Options{Dir: dir, SegmentBytes: 900, CheckpointRecords: 2, KeepBytes: 4000}, d)
	pid := start(t, trail)
	for i := range 12 {
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
		mu.Lock()
		acknowledged++
		mu.Unlock()
		if i == 5 { // and an opening with what a killed one has left
			kill(pid, trail)
			pid = start(t, trail)
		}
	}
	stop(t, pid)
	keep("at the end")
	assert.Greater(t, len(all), 150)

	for _, l := range all {
		name := fmt.Sprintf("killed before %s, %d acknowledged", l.step, l.acknowledged)
		if _, err := os.Stat(filepath.Join(l.dir, pubName)); err == nil {
			report := verify(t, l.dir)
			require.Contains(t, []int{0, 2}, report.Code(), "%s: %v", name, report.Findings)
		}
		again := newTrail(t, Options{Dir: l.dir}, nil)
		pid, err := again.Start(deadline(t))
		require.NoError(t, err, name)
		require.NoError(t, again.Append(deadline(t), turn(100)))
		stop(t, pid)
		report := verify(t, l.dir)
		require.Zero(t, report.Code(), "%s: %v", name, report.Findings)
		var records []Record // the oldest may have been removed
		for r, err := range Read(l.dir) {
			require.NoError(t, err, name)
			records = append(records, r)
		}
		got := turns(records)
		require.Equal(t, 100, got[len(got)-1], name)
		got = got[:len(got)-1]
		if len(got) > 0 {
			require.GreaterOrEqual(t, got[len(got)-1], l.acknowledged, name)
			for i := range got {
				require.Equal(t, got[0]+i, got[i], name)
			}
		} else {
			require.Zero(t, l.acknowledged, name)
		}
		require.NoError(t, os.RemoveAll(l.dir))
	}
}

// killedDisk tells before each operation that changes something, and writes in two halves.
type killedDisk struct {
	realDisk
	keep func(step string)
}

func (d *killedDisk) Open(path string, flag int) (file, error) {
	d.keep("open " + filepath.Base(path))
	f, err := d.realDisk.Open(path, flag)
	if err != nil {
		return nil, err
	}
	return &killedFile{f, d, filepath.Base(path)}, nil
}

func (d *killedDisk) Rename(from, to string) error {
	d.keep("rename to " + filepath.Base(to))
	return d.realDisk.Rename(from, to)
}

func (d *killedDisk) Remove(path string) error {
	d.keep("remove " + filepath.Base(path))
	return d.realDisk.Remove(path)
}

func (d *killedDisk) SyncDir(path string) error {
	d.keep("syncdir")
	return d.realDisk.SyncDir(path)
}

func (d *killedDisk) Lock(f file) error { return d.realDisk.Lock(f.(*killedFile).file) }

func (d *killedDisk) Same(f file, path string) error {
	return d.realDisk.Same(f.(*killedFile).file, path)
}

type killedFile struct {
	file
	disk *killedDisk
	name string
}

func (f *killedFile) WriteAt(p []byte, at int64) (int, error) {
	f.disk.keep("write " + f.name)
	half := len(p) / 2
	if n, err := f.file.WriteAt(p[:half], at); err != nil {
		return n, err
	}
	f.disk.keep("second half of write " + f.name)
	n, err := f.file.WriteAt(p[half:], at+int64(half))
	return half + n, err
}

func (f *killedFile) Truncate(size int64) error {
	f.disk.keep("truncate " + f.name)
	return f.file.Truncate(size)
}

func (f *killedFile) Sync() error {
	f.disk.keep("sync " + f.name)
	return f.file.Sync()
}

package audit

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// journalDisk is a real disk that remembers what was done to it, so that the state after a power cut at any
// moment can be made: what was not synced is there in part, in any order.
type journalDisk struct {
	realDisk

	mu    sync.Mutex
	ops   []diskOp
	names map[string]int // the file that a path leads to
	files int

	synced int // calls of WriteSynced
	fail   int // which of them fails, from 1; 0: none
}

type diskOp struct {
	op   string // create, rename, remove, write, truncate, sync, syncdir, acknowledge
	file int
	path string
	to   string
	at   int64
	data []byte
}

func (d *journalDisk) note(o diskOp) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops = append(d.ops, o)
}

func (d *journalDisk) Open(path string, flag int) (file, error) {
	_, err := os.Lstat(path)
	created := os.IsNotExist(err)
	f, err := d.realDisk.Open(path, flag)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if created {
		d.files++
		d.names[path] = d.files
		d.ops = append(d.ops, diskOp{op: "create", file: d.files, path: path})
	}
	return &journalFile{f, d, d.names[path]}, nil
}

func (d *journalDisk) Rename(from, to string) error {
	if err := d.realDisk.Rename(from, to); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[to] = d.names[from]
	delete(d.names, from)
	d.ops = append(d.ops, diskOp{op: "rename", file: d.names[to], path: from, to: to})
	return nil
}

func (d *journalDisk) Remove(path string) error {
	if err := d.realDisk.Remove(path); err != nil {
		return err
	}
	d.note(diskOp{op: "remove", path: path})
	return nil
}

func (d *journalDisk) SyncDir(path string) error {
	d.note(diskOp{op: "syncdir", path: path})
	return d.realDisk.SyncDir(path)
}

func (d *journalDisk) Same(f file, path string) error {
	return d.realDisk.Same(f.(*journalFile).file, path)
}

func (d *journalDisk) Lock(f file) error { return d.realDisk.Lock(f.(*journalFile).file) }

type journalFile struct {
	file
	disk *journalDisk
	id   int
}

func (f *journalFile) WriteAt(p []byte, at int64) (int, error) {
	f.disk.note(diskOp{op: "write", file: f.id, at: at, data: slices.Clone(p)})
	return f.file.WriteAt(p, at)
}

// WriteSynced fails with its first half on the disk, and the other in memory.
func (f *journalFile) WriteSynced(p []byte, at int64) error {
	f.disk.mu.Lock()
	f.disk.synced++
	fails := f.disk.synced == f.disk.fail
	f.disk.mu.Unlock()
	if !fails {
		return writeThenSync(f, p, at)
	}
	half := len(p) / 2
	if err := writeThenSync(f, p[:half], at); err != nil {
		return err
	}
	if err := write(f, p[half:], at+int64(half)); err != nil {
		return err
	}
	f.disk.note(diskOp{op: "failed"})
	return errBoom
}

func (f *journalFile) Truncate(size int64) error {
	f.disk.note(diskOp{op: "truncate", file: f.id, at: size})
	return f.file.Truncate(size)
}

func (f *journalFile) Sync() error {
	err := f.file.Sync()
	f.disk.note(diskOp{op: "sync", file: f.id})
	return err
}

// after makes the state of the directory after a power cut behind n operations. It returns how many turns
// were acknowledged by then.
func (d *journalDisk) after(t *testing.T, n int, dir string, random *rand.Rand) (acknowledged int) {
	content := map[int][]byte{} // on disk
	loose := map[int][]diskOp{} // not synced
	durable := map[string]int{} // names on disk
	var names []diskOp          // not synced
	apply := func(o diskOp) {
		switch o.op {
		case "create":
			durable[o.path] = o.file
		case "rename":
			delete(durable, o.path)
			durable[o.to] = o.file
		case "remove":
			delete(durable, o.path)
		}
	}
	change := func(o diskOp) {
		have := content[o.file]
		if o.op == "truncate" {
			content[o.file] = append(slices.Clone(have[:min(len(have), int(o.at))]), make([]byte, max(0, int(o.at)-len(have)))...)
			return
		}
		if end := int(o.at) + len(o.data); end > len(have) {
			have = append(slices.Clone(have), make([]byte, end-len(have))...)
		}
		copy(have[o.at:], o.data)
		content[o.file] = have
	}
	for _, o := range d.ops[:n] {
		switch o.op {
		case "create", "rename", "remove":
			names = append(names, o)
		case "syncdir":
			for _, o := range names {
				apply(o)
			}
			names = nil
		case "write", "truncate":
			loose[o.file] = append(loose[o.file], o)
		case "sync":
			for _, o := range loose[o.file] {
				change(o)
			}
			loose[o.file] = nil
		case "acknowledge":
			acknowledged++
		}
	}
	// Of names, file systems with a journal keep the order; of pages none.
	for _, o := range names[:random.IntN(len(names)+1)] {
		apply(o)
	}
	for _, id := range slices.Sorted(func(yield func(int) bool) {
		for id := range loose {
			if !yield(id) {
				return
			}
		}
	}) {
		for _, o := range loose[id] {
			const page = 128 // small, since the writes are
			if o.op == "truncate" {
				if random.IntN(2) == 0 {
					change(o)
				}
				continue
			}
			for at := 0; at < len(o.data); at += page {
				if random.IntN(2) == 0 {
					change(diskOp{op: "write", file: id, at: o.at + int64(at), data: o.data[at:min(at+page, len(o.data))]})
				}
			}
		}
	}
	require.NoError(t, os.Mkdir(dir, 0o700))
	for path, id := range durable {
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(path)), content[id], 0o600))
	}
	return acknowledged
}

// TestPowerCut cuts the power behind each operation of a log's life. What was acknowledged is there, and
// nothing looks changed.
func TestPowerCut(t *testing.T) {
	parent := scratch(t)
	d := livedThrough(t, 0)
	assert.Greater(t, len(d.ops), 80)
	for n := range len(d.ops) + 1 {
		for seed := range uint64(3) {
			checkPowerCut(t, d, parent, n, seed)
		}
	}
	// A write fails, of which a part is on the disk; and the power is cut soon after that, while the log goes on elsewhere.
	for fail := 2; fail <= d.synced; fail++ {
		d := livedThrough(t, fail)
		at := slices.IndexFunc(d.ops, func(o diskOp) bool { return o.op == "failed" })
		require.Positive(t, at)
		for n := at; n <= min(len(d.ops), at+24); n++ {
			checkPowerCut(t, d, parent, n, uint64(fail))
		}
	}
}

// livedThrough is what a disk saw of a log in which one write fails; none if that is 0.
func livedThrough(t *testing.T, fail int) *journalDisk {
	d := &journalDisk{names: make(map[string]int), fail: fail}
	trail := newTrail(t, Options{SegmentBytes: 900, CheckpointRecords: 2, Reserve: -1}, d)
	trail.retry = 10 * time.Microsecond
	pid, err := trail.Start(deadline(t))
	if err != nil {
		require.ErrorIs(t, err, errBoom)
		pid = start(t, trail) // it fails once
	}
	for i := range 8 {
		for err = errBoom; err != nil; {
			// This write fails, or what came after the one before, such as its checkpoint.
			if err = trail.Append(deadline(t), turn(i+1)); err != nil {
				require.ErrorIs(t, err, errBoom)
			}
		}
		d.note(diskOp{op: "acknowledge"})
		if i == 4 {
			kill(pid, trail)
			pid = start(t, trail)
		}
	}
	stop(t, pid)
	released(trail)
	return d
}

func checkPowerCut(t *testing.T, d *journalDisk, parent string, n int, seed uint64) {
	dir := filepath.Join(parent, fmt.Sprintf("%d-%d", n, seed))
	acknowledged := d.after(t, n, dir, rand.New(rand.NewPCG(seed, uint64(n))))
	if _, err := os.Stat(filepath.Join(dir, pubName)); err == nil {
		report := verify(t, dir)
		require.Contains(t, []int{0, 2}, report.Code(), "cut behind %d (%+v), seed %d: %v", n, d.ops[max(0, n-1)].op, seed, report.Findings)
	}
	// Whether the next opening comes with the first process's memory makes a difference; this has none.
	again := newTrail(t, Options{Dir: dir, Reserve: -1}, nil)
	pid, err := again.Start(deadline(t))
	require.NoError(t, err, "cut behind %d, seed %d", n, seed)
	stop(t, pid)
	got := turns(read(t, dir))
	require.GreaterOrEqual(t, len(got), acknowledged, "cut behind %d, seed %d", n, seed)
	for i, turn := range got {
		require.Equal(t, i+1, turn)
	}
	report := verify(t, dir)
	require.Equal(t, 0, report.Code(), "cut behind %d, seed %d: %v", n, seed, report.Findings)
	require.NoError(t, os.RemoveAll(dir))
}

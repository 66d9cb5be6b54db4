package audit

import (
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
)

// fault is what becomes of one operation.
type fault int

const (
	fine  fault = iota
	lost        // not done, reported as failed
	done        // done, reported as failed
	short       // half done, reported as failed; as lost where there is no half
	lie         // not done, reported as done
)

// step is one call of an operation: "sync audit.jsonl", the 3rd.
type step struct {
	op string
	n  int // from 1
}

// testDisk counts the operations on a real disk, and lets a hook decide about each.
type testDisk struct {
	realDisk
	hook func(step) (fault, error) // nil: all is fine

	mu    sync.Mutex
	steps []step
	count map[string]int
}

func (d *testDisk) step(op, path string) (fault, error) {
	base := filepath.Base(path)
	if strings.HasPrefix(base, prefix+"cut-") {
		base = prefix + "cut"
	} else if !strings.HasPrefix(base, prefix) {
		base = "directory"
	}
	d.mu.Lock()
	if d.count == nil {
		d.count = make(map[string]int)
	}
	op += " " + base
	d.count[op]++
	s := step{op, d.count[op]}
	d.steps = append(d.steps, s)
	hook := d.hook
	d.mu.Unlock()
	if hook == nil {
		return fine, nil
	}
	return hook(s)
}

func (d *testDisk) counted(op string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count[op]
}

// do runs an operation as its fault wants it.
func (d *testDisk) do(op, path string, run func() error) error {
	how, failure := d.step(op, path)
	switch how {
	case lie:
		return nil
	case lost, short:
		return failure
	case done:
		if err := run(); err != nil {
			return err
		}
		return failure
	default:
		return run()
	}
}

func (d *testDisk) Mkdir(path string) error {
	return d.do("mkdir", path, func() error { return d.realDisk.Mkdir(path) })
}

func (d *testDisk) SyncDir(path string) error {
	return d.do("syncdir", path, func() error { return d.realDisk.SyncDir(path) })
}

func (d *testDisk) Open(path string, flag int) (file, error) {
	var f file
	err := d.do("open", path, func() (err error) {
		f, err = d.realDisk.Open(path, flag)
		return err
	})
	if err != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, err
	}
	return &testFile{f, d, path}, nil
}

func (d *testDisk) Lock(f file) error {
	return d.do("lock", f.(*testFile).path, func() error { return d.realDisk.Lock(f) })
}

type testFile struct {
	file
	disk *testDisk
	path string
}

func (f *testFile) Write(p []byte) (int, error) {
	how, failure := f.disk.step("write", f.path)
	switch how {
	case lie:
		return len(p), nil
	case lost:
		return 0, failure
	case short:
		n, err := f.file.Write(p[:len(p)/2])
		if err != nil {
			return n, err
		}
		return n, failure
	case done:
		n, err := f.file.Write(p)
		if err != nil {
			return n, err
		}
		return n, failure
	default:
		return f.file.Write(p)
	}
}

func (f *testFile) ReadAt(p []byte, at int64) (n int, err error) {
	err = f.disk.do("read", f.path, func() error {
		n, err = f.file.ReadAt(p, at)
		return err
	})
	return n, err
}

func (f *testFile) Stat() (info fs.FileInfo, err error) {
	err = f.disk.do("stat", f.path, func() error {
		info, err = f.file.Stat()
		return err
	})
	return info, err
}

func (f *testFile) Chmod(mode fs.FileMode) error {
	return f.disk.do("chmod", f.path, func() error { return f.file.Chmod(mode) })
}

func (f *testFile) Truncate(size int64) error {
	return f.disk.do("truncate", f.path, func() error { return f.file.Truncate(size) })
}

func (f *testFile) Sync() error {
	return f.disk.do("sync", f.path, f.file.Sync)
}

func (f *testFile) Close() error {
	how, failure := f.disk.step("close", f.path)
	err := f.file.Close() // always: a test must not leak
	if how != fine {
		return failure
	}
	return err
}

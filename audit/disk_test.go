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
	holed       // done but for a part in the middle, which is zeros, reported as failed: see testFile.WriteSynced
	lie         // not done, reported as done
)

// step is one call of an operation: "sync audit.new", the 3rd.
type step struct {
	op string
	n  int // from 1
}

// testDisk counts the operations on a real disk, and lets a hook decide about each.
type testDisk struct {
	realDisk
	hook func(step) (fault, error) // nil: all is fine
	// oneCall makes WriteSynced one step, as it is one call where there is one for it, and not the two of other systems.
	oneCall bool

	mu    sync.Mutex
	steps []step
	count map[string]int
	files map[string][]*testFile
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
	case lost, short, holed:
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

func (d *testDisk) Same(f file, path string) error {
	return d.do("same", path, func() error { return d.realDisk.Same(f.(*testFile).file, path) })
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
	opened := &testFile{f, d, path}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		d.files = make(map[string][]*testFile)
	}
	d.files[path] = append(d.files[path], opened)
	return opened, nil
}

func (d *testDisk) Rename(from, to string) error {
	return d.do("rename", to, func() error {
		d.mu.Lock()
		for _, f := range d.files[from] {
			f.path = to
		}
		d.files[to], d.files[from] = d.files[from], nil
		d.mu.Unlock()
		return d.realDisk.Rename(from, to)
	})
}

func (d *testDisk) Remove(path string) error {
	return d.do("remove", path, func() error { return d.realDisk.Remove(path) })
}

func (d *testDisk) Lock(f file) error {
	return d.do("lock", f.(*testFile).name(), func() error { return d.realDisk.Lock(f.(*testFile).file) })
}

type testFile struct {
	file
	disk *testDisk
	path string
}

func (f *testFile) name() string {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.path
}

func (f *testFile) WriteAt(p []byte, at int64) (int, error) {
	how, failure := f.disk.step("write", f.name())
	switch how {
	case lie:
		return len(p), nil
	case lost:
		return 0, failure
	case short:
		p = p[:len(p)/2]
	case fine, done, holed:
	}
	n, err := f.file.WriteAt(p, at)
	if err != nil || how == fine {
		return n, err
	}
	return n, failure
}

// WriteSynced is two steps, of which each can fail, and be half done; or one, which leaves one state more: a page that could not be
// written to the disk is dropped from memory, before anybody has read it, and those beside it are not.
func (f *testFile) WriteSynced(p []byte, at int64) error {
	if !f.disk.oneCall {
		return writeThenSync(f, p, at)
	}
	how, failure := f.disk.step("writesync", f.name())
	if how == lie {
		return nil
	}
	parts := map[fault][][2]int{fine: {{0, len(p)}}, done: {{0, len(p)}}, short: {{0, len(p) / 2}}, holed: {{0, len(p) / 3}, {2 * len(p) / 3, len(p)}}}
	for _, part := range parts[how] {
		if err := f.file.WriteSynced(p[part[0]:part[1]], at+int64(part[0])); err != nil {
			return err
		}
	}
	if how != fine {
		return failure
	}
	return nil
}

func (f *testFile) ReadAt(p []byte, at int64) (n int, err error) {
	err = f.disk.do("read", f.name(), func() error {
		n, err = f.file.ReadAt(p, at)
		return err
	})
	return n, err
}

func (f *testFile) Stat() (info fs.FileInfo, err error) {
	err = f.disk.do("stat", f.name(), func() error {
		info, err = f.file.Stat()
		return err
	})
	return info, err
}

func (f *testFile) Chmod(mode fs.FileMode) error {
	return f.disk.do("chmod", f.name(), func() error { return f.file.Chmod(mode) })
}

func (f *testFile) Truncate(size int64) error {
	return f.disk.do("truncate", f.name(), func() error { return f.file.Truncate(size) })
}

func (f *testFile) Sync() error {
	return f.disk.do("sync", f.name(), f.file.Sync)
}

func (f *testFile) Close() error {
	how, failure := f.disk.step("close", f.name())
	err := f.file.Close() // always: a test must not leak
	if how != fine {
		return failure
	}
	return err
}

package session

import "sync"

// diskCopy keeps a file in step with something in memory: what changes while it is written shares the next write. The zero
// value keeps nothing.
type diskCopy struct {
	path   string
	encode func() ([]byte, error) // what the file shall hold now; it takes the lock of what it encodes
	failed func(error)            // a write failed; the next change tries again

	mu    sync.Mutex
	err   error // of the last write
	dirty bool
	idle  chan struct{} // closed when nothing is being written; nil as long as nothing ever was
}

// changed has the file written. It does not wait for it.
func (d *diskCopy) changed() {
	if d.path == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dirty {
		return // it will be taken along
	}
	d.dirty = true
	if d.idle != nil {
		select {
		case <-d.idle:
		default:
			return
		}
	}
	d.idle = make(chan struct{})
	go d.write() // ends when nothing is dirty
}

func (d *diskCopy) write() {
	for {
		d.mu.Lock()
		if !d.dirty {
			close(d.idle)
			d.mu.Unlock()
			return
		}
		d.dirty = false
		d.mu.Unlock()
		data, err := d.encode()
		if err == nil {
			err = replaceFile(d.path, append(data, '\n'))
		}
		d.mu.Lock()
		d.err = err
		d.mu.Unlock()
		if err != nil {
			d.failed(err)
		}
	}
}

// flush waits until what has changed so far is on disk. What could not be written is tried once more.
func (d *diskCopy) flush() error {
	if d.written() == nil {
		return nil
	}
	d.changed()
	return d.written()
}

// written waits until nothing is being written, and is why the last write failed.
func (d *diskCopy) written() error {
	d.mu.Lock()
	idle := d.idle
	d.mu.Unlock()
	if idle != nil {
		<-idle
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

package debug

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// changes tells pages what is not what it was. It looks only while somebody listens, once for all of them.
type changes struct {
	look  func(context.Context) (map[string]uint64, error)
	every time.Duration
	epoch string // of the numbers: those of another daemon mean nothing here

	mu        sync.Mutex
	seq       uint64
	last      map[string]uint64 // what was seen, as digests
	past      []change          // the last of them, oldest first
	listeners map[chan uint64]struct{}
	stop      context.CancelFunc // not nil while watch runs
}

// change is what one look has found.
type change struct {
	seq   uint64
	paths []string
}

const (
	maxChanges = 256 // that are kept for those who connect again
	maxPaths   = 64  // that an event names; more of them are everything
)

func newChanges(look func(context.Context) (map[string]uint64, error), every time.Duration) *changes {
	return &changes{look: look, every: every, epoch: strings.ToLower(rand.Text()[:8]), listeners: make(map[chan uint64]struct{})}
}

// listen gives a channel that has the newest number once it is another. Call the function when done.
func (c *changes) listen() (<-chan uint64, func()) {
	listener := make(chan uint64, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[listener] = struct{}{}
	listener <- c.seq
	if c.stop == nil {
		var ctx context.Context
		ctx, c.stop = context.WithCancel(context.Background())
		go c.watch(ctx) // ends when the last listener has gone
	}
	return listener, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, listener)
		if len(c.listeners) == 0 {
			c.stop()
			c.stop = nil
		}
	}
}

func (c *changes) watch(ctx context.Context) {
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		c.compare(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// compare looks, and tells the listeners if something has changed.
func (c *changes) compare(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	defer func() {
		// This is nobody's request: a panic here would end the process. The page's own requests will say
		// what is wrong.
		_ = recover()
	}()
	now, err := c.look(bounded)
	if err != nil {
		now = map[string]uint64{"error: " + err.Error(): 0} // as good as everything
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	var paths []string
	for path, digest := range now {
		if was, known := c.last[path]; !known || was != digest {
			paths = append(paths, path)
		}
	}
	for path := range c.last {
		if _, still := now[path]; !still {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return
	}
	slices.Sort(paths)
	c.last = now
	c.seq++
	if len(c.past) == maxChanges {
		c.past = slices.Delete(c.past, 0, 1)
	}
	c.past = append(c.past, change{c.seq, paths})
	for listener := range c.listeners {
		select {
		case <-listener: // it has not taken the one before
		default:
		}
		listener <- c.seq
	}
}

// changed is the event of what has changed between two numbers.
type changed struct {
	Seq   uint64   `json:"seq"`
	All   bool     `json:"all"`   // so much that it is not listed, or not known any more
	Paths []string `json:"paths"` // of nodes, from the root
}

// between collects what has changed after one number up to another.
func (c *changes) between(after, upTo uint64) changed {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := changed{Seq: upTo, Paths: []string{}}
	if after > upTo || after < upTo && (len(c.past) == 0 || c.past[0].seq > after+1) {
		e.All = true
		return e
	}
	for _, change := range c.past {
		if change.seq > after && change.seq <= upTo {
			e.Paths = append(e.Paths, change.paths...)
		}
	}
	slices.Sort(e.Paths)
	e.Paths = slices.Compact(e.Paths)
	if len(e.Paths) > maxPaths {
		e.All, e.Paths = true, []string{}
	}
	return e
}

// event is a change as a server-sent event.
func (c *changes) event(e changed) string {
	data, _ := json.Marshal(e) // numbers and strings always can be
	return fmt.Sprintf("id: %s-%d\ndata: %s\n\n", c.epoch, e.Seq, data)
}

// resumed is the number in a Last-Event-ID that this handler has given out.
func resumed(epoch, id string) (uint64, bool) {
	text, ours := strings.CutPrefix(id, epoch+"-")
	seq, err := strconv.ParseUint(text, 10, 64)
	return seq, ours && err == nil
}

var digestSeed = maphash.MakeSeed()

// digests are those of all nodes, by their paths.
func digests(root Node) map[string]uint64 {
	all := make(map[string]uint64)
	var walk func(n Node, path string)
	walk = func(n Node, path string) {
		path += n.Name
		children := n.Children
		n.Children = nil
		data, err := json.Marshal(n)
		if err != nil { // NaN somewhere: as good as unchanged
			data = nil
		}
		all[path] = maphash.Bytes(digestSeed, data)
		for _, child := range children {
			walk(child, path+"/")
		}
	}
	walk(root, "")
	return all
}

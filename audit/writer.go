package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// errAgain says that an entry was never begun to be written: it may go to the next incarnation.
var errAgain = errors.New("audit actor ended before the record was written")

// message is what the audit actor receives.
//
//sumtype:decl
type message interface{ isMessage() }

// entry is one record on its way.
type entry struct {
	kind  Kind
	at    time.Time
	rest  []byte // the line without v, seq and lost
	post  bool   // nobody waits
	state atomic.Int32
	done  chan error // room for one
}

// The states of an entry somebody waits for.
const (
	waiting int32 = iota
	abandoned
	settled
)

type (
	flush   struct{} // there are losses to record
	retry   struct{} // it is time to open a failed file again
	drained struct{} // what was in the mailbox at the stop has been received
	wrote   struct { // a batch is done
		err   error
		final bool
	}
)

func (*entry) isMessage()  {}
func (flush) isMessage()   {}
func (retry) isMessage()   {}
func (drained) isMessage() {}
func (wrote) isMessage()   {}

// incarnation is one life of the audit actor, as the handle sees it.
type incarnation struct {
	trail    *Trail
	ref      actor.Ref[message]
	flushing atomic.Bool   // a flush is in the mailbox
	begun    chan struct{} // closed when the actor can trap exits
	released chan struct{} // closed when the file is, after the actor's end

	// file is held while the log is used. A killed actor does not wait for its goroutine, so whoever
	// closes the log must.
	file sync.Mutex
	log  *log // nil: failed (or never opened again), or closed

	mu          sync.Mutex
	over        bool
	outstanding map[*entry]struct{}
}

// admit makes the incarnation responsible for an entry.
func (in *incarnation) admit(e *entry) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return false
	}
	in.outstanding[e] = struct{}{}
	return true
}

// withdraw takes an entry back; false if it is settled already.
func (in *incarnation) withdraw(e *entry) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, there := in.outstanding[e]
	delete(in.outstanding, e)
	return there
}

// settle gives entries their outcome, unless they have it.
func (in *incarnation) settle(batch []*entry, err error) {
	for _, e := range batch {
		if in.withdraw(e) {
			in.trail.settle(e, err)
		}
	}
}

func (t *Trail) settle(e *entry, err error) {
	if !e.post && e.state.CompareAndSwap(waiting, settled) {
		if errors.Is(err, errAgain) { // it keeps its slot
			e.done <- err
			return
		}
		if err != nil && t.options.Mode == BestEffort {
			t.lose(e.kind, e.at, lossFailed)
		}
		<-t.slots
		e.done <- err
		return
	}
	// Nobody waits, or nobody waits any more.
	if err != nil && (e.post || t.options.Mode == BestEffort) {
		reason := lossFailed
		if errors.Is(err, errAgain) {
			reason = lossDown
		}
		t.lose(e.kind, e.at, reason)
	}
	<-t.slots
}

// spawn starts the actor on an open log.
func (t *Trail) spawn(l *log) (actor.PID, error) {
	in := &incarnation{
		trail: t, log: l, begun: make(chan struct{}), released: make(chan struct{}),
		outstanding: make(map[*entry]struct{}),
	}
	// Beside the records, of which there are no more than queueSize on their way, one flush may wait.
	ref, err := actor.Spawn(t.system, actor.Spec{Name: t.options.Name, Mailbox: queueSize + 1}, &writer{in: in})
	if err != nil {
		l.close()
		return actor.PID{}, fmt.Errorf("start audit log %s: %w", t.options.Dir, err)
	}
	in.ref = ref
	select {
	case <-in.begun: // from here on a stop writes log.closed
	case <-ref.Done():
	}
	go in.bury() // ends when the actor has ended and its last write has returned
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up, t.last, t.broken = in, in, false
	close(t.changed)
	return ref.PID, nil
}

// bury settles what an ended actor has left, and closes the file if the actor could not.
func (in *incarnation) bury() {
	<-in.ref.Done()
	in.trail.down(in)
	in.file.Lock()
	if in.log != nil {
		in.log.close()
		in.log = nil
	}
	in.file.Unlock()
	close(in.released)

	in.mu.Lock()
	in.over = true
	var rest []*entry
	for e := range in.outstanding {
		rest = append(rest, e)
	}
	in.mu.Unlock()
	reason := in.ref.Reason()
	if actor.Clean(reason) || errors.Is(reason, actor.ErrKilled) {
		reason = errAgain // writing works, as far as anybody knows
	}
	in.settle(rest, reason)
}

// writer is the audit actor. It collects entries while a goroutine of its writes and syncs the batch
// before: all that come in the meantime share the next sync.
type writer struct {
	in      *incarnation
	pending []*entry
	writing bool
	timer   *actor.Timer // until a failed file is tried again

	drained bool // asked to stop, and all that was queued then is in pending
	reason  error
}

var (
	_ actor.Starter[message] = (*writer)(nil)
	_ actor.Trapper[message] = (*writer)(nil)
)

// Started lets Start return.
func (w *writer) Started(*actor.Context[message]) error {
	close(w.in.begun)
	return nil
}

// Receive handles one message. It never blocks.
func (w *writer) Receive(c *actor.Context[message], m message) {
	switch m := m.(type) {
	case *entry:
		w.pending = append(w.pending, m)
	case flush:
		w.in.flushing.Store(false)
	case retry:
		w.timer = nil
	case drained:
		w.drained = true
	case wrote:
		w.writing = false
		switch {
		case m.final && m.err == nil:
			c.Exit(w.reason)
			return
		case m.err != nil && (m.final || w.in.trail.options.Mode == Required):
			c.Exit(m.err)
			return
		case m.err != nil && w.timer == nil:
			w.timer = c.After(w.in.trail.retry, retry{})
		}
	}
	w.next(c)
}

// Exiting lets what is queued be written first. What comes later waits for the next incarnation.
func (w *writer) Exiting(c *actor.Context[message], reason error) {
	w.reason = reason
	w.in.trail.down(w.in)
	c.Post(drained{})
}

// next starts the next batch if there is reason to and none is at work.
func (w *writer) next(c *actor.Context[message]) {
	// While a failed file waits for its next try, entries are let through to fail at once; losses alone
	// are no reason to try.
	lossesToRecord := w.timer == nil && w.in.trail.losses.pending()
	if w.writing || len(w.pending) == 0 && !lossesToRecord && !w.drained {
		return
	}
	batch, again, final := w.pending, w.timer == nil || w.drained, w.drained
	w.pending, w.writing = nil, true
	in := w.in
	c.Go("write audit records", func(context.Context) message { // blocks as long as the disk does
		return wrote{err: in.write(batch, again, final), final: final}
	})
}

// write makes a batch durable and settles it. It is the goroutine's part: it blocks. If the file has
// failed, again says whether to open it anew. After the final batch the log is closed. In BestEffort mode
// an error says that the log is not open.
func (in *incarnation) write(batch []*entry, again, final bool) (err error) {
	in.file.Lock()
	defer in.file.Unlock()
	t := in.trail
	ok := false
	defer func() {
		if !ok { // a panic: the actor ends with it
			err = errors.New("writing the record panicked")
			t.fail(err)
		}
		in.settle(batch, err)
	}()
	err = in.commit(batch, again, final)
	ok = true
	return err
}

func (in *incarnation) commit(batch []*entry, again, final bool) error {
	t := in.trail
	if in.log == nil {
		if !in.ref.Alive() { // killed, and the file closed before this goroutine came to run
			return errAgain
		}
		if !again {
			return t.lastFailure()
		}
		l, err := t.open()
		if err != nil {
			return err
		}
		in.log = l
		t.mended()
	}
	b := in.log.begin()
	g := t.losses.take()
	if err := t.addGap(b, g); err != nil {
		t.losses.putBack(g)
		return err
	}
	for _, e := range batch {
		b.add(e.rest, 0)
	}
	if final {
		if err := t.addOwn(b, Record{Kind: LogClosed}); err != nil {
			t.losses.putBack(g)
			return err
		}
	}
	err := t.finish(in.log, b, g)
	if err != nil || final {
		in.log.close()
		in.log = nil
	}
	if err == nil && final {
		t.options.Logger.Info().Str("path", Path(t.options.Dir)).Uint64("seq", b.at.seq).Msg("audit log closed")
	}
	return err
}

// open opens the log and writes what belongs at the beginning.
func (t *Trail) open() (*log, error) {
	t.mu.Lock()
	known := t.position
	t.mu.Unlock()
	l, repair, err := openLog(t.disk, t.options.Dir, known)
	if err != nil {
		t.fail(err)
		return nil, err
	}
	b := l.begin()
	g := t.losses.take()
	err = t.addOwn(b, Record{Kind: LogOpened, Detail: map[string]any{
		"path": l.path, "mode": t.options.Mode.String(), "pid": os.Getpid(),
	}})
	if err == nil && repair != nil {
		err = t.addOwn(b, repair.record())
	}
	if err == nil {
		err = t.addGap(b, g)
	}
	if err != nil {
		t.losses.putBack(g)
		l.close()
		t.fail(err)
		return nil, err
	}
	if err := t.finish(l, b, g); err != nil {
		l.close()
		return nil, err
	}
	if repair != nil {
		t.options.Logger.Warn().Str("path", l.path).Int64("dropped_bytes", repair.dropped).
			Str("side_file", repair.side).Uint64("missing_records", repair.missing()).Msg("audit log repaired")
	}
	t.options.Logger.Info().Str("path", l.path).Uint64("seq", b.at.seq).Msg("audit log open")
	return l, nil
}

// finish makes a batch durable and keeps account of it.
func (t *Trail) finish(l *log, b *batch, g *gap) error {
	// What does not get acknowledged is cut off by the next opening, which has to recognize it.
	t.mu.Lock()
	t.position = l.at // which differs from what was known if this is the first batch after an opening
	t.position.attempted = b.lines
	t.mu.Unlock()
	if err := l.commit(b); err != nil {
		t.losses.putBack(g)
		t.fail(err)
		return err
	}
	t.mu.Lock()
	t.position = b.at
	t.mu.Unlock()
	if g != nil {
		t.options.Logger.Warn().Str("path", l.path).Uint64("lost", g.count).Msg("audit records lost")
	}
	return nil
}

// addOwn adds a record of the log's own.
func (t *Trail) addOwn(b *batch, r Record) error {
	r.Runtime, r.Actor = t.options.Runtime, t.options.Name
	rest, err := encode(r, t.redactor.Load())
	if err != nil {
		return fmt.Errorf("audit log %s: %w", Path(t.options.Dir), err)
	}
	lost := uint64(0)
	if n, ok := r.Detail["count"].(uint64); ok && r.Kind == LogGap {
		lost = n
	}
	b.add(rest, lost)
	return nil
}

func (t *Trail) addGap(b *batch, g *gap) error {
	if g == nil {
		return nil
	}
	return t.addOwn(b, g.record())
}

// fail notes that the file has failed.
func (t *Trail) fail(err error) {
	t.failed(err)
	t.mu.Lock()
	t.broken = true
	t.mu.Unlock()
	t.options.Logger.Error().Err(err).Str("path", Path(t.options.Dir)).Msg("audit log failed")
}

func (t *Trail) mended() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = false
}

func (t *Trail) lastFailure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failure
}

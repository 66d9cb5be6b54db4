package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	encoded
	at    time.Time
	post  bool // nobody waits
	state atomic.Int32
	done  chan error // room for one

	owner          atomic.Pointer[incarnation] // who has to settle it; changed under the owner's mu
	previous, next *entry                      // of the same owner, under its mu
}

// The states of an entry somebody waits for.
const (
	waiting int32 = iota
	abandoned
	settled
)

type (
	flush   struct{} // there are losses to record
	retry   struct{} // it is time to open a failed file again, or to see whether a full disk has room
	due     struct{} // it is time for a checkpoint
	drained struct{} // what was in the mailbox at the stop has been received
	wrote   struct { // a batch is done
		err      error
		final    bool
		full     bool // the disk is
		unsigned bool // there are records that no checkpoint covers
		panicked bool
		spare    []*entry // room for the next batch
	}
)

func (*entry) isMessage()  {}
func (flush) isMessage()   {}
func (retry) isMessage()   {}
func (due) isMessage()     {}
func (drained) isMessage() {}
func (wrote) isMessage()   {}

// incarnation is one life of the audit actor, as the handle sees it.
type incarnation struct {
	trail    *Trail
	ref      actor.Ref[message]
	flushing atomic.Bool   // a flush is in the mailbox
	begun    chan struct{} // closed when the actor can trap exits
	released chan struct{} // closed when the file is, after the actor's end
	quiet    chan struct{} // closed when the sinks and anchors have ended too
	cancel   context.CancelFunc
	beside   sync.WaitGroup // sinks and anchors

	// file is held while the log is used. A killed actor does not wait for its goroutine, so whoever
	// closes the log must.
	file sync.Mutex
	log  *log // nil: failed (or never opened again), or closed

	mu          sync.Mutex
	over        bool
	outstanding *entry // the first of them
}

// admit makes the incarnation responsible for an entry.
func (in *incarnation) admit(e *entry) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return false
	}
	e.owner.Store(in)
	e.previous, e.next = nil, in.outstanding
	if e.next != nil {
		e.next.previous = e
	}
	in.outstanding = e
	return true
}

// withdraw takes an entry back; false if it is settled already.
func (in *incarnation) withdraw(e *entry) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.unlink(e)
}

// unlink is called with in.mu held.
func (in *incarnation) unlink(e *entry) bool {
	if e.owner.Load() != in { // it may be on its way again by now, and somebody else's
		return false
	}
	if e.previous != nil {
		e.previous.next = e.next
	} else {
		in.outstanding = e.next
	}
	if e.next != nil {
		e.next.previous = e.previous
	}
	e.previous, e.next = nil, nil
	e.owner.Store(nil)
	return true
}

// settle gives entries their outcome, unless they have it. Nobody may look at an entry after that: it may be used again.
func (in *incarnation) settle(batch []*entry, err error) {
	in.mu.Lock()
	ours := batch[:0] // the batch is not needed any more
	for _, e := range batch {
		if in.unlink(e) {
			ours = append(ours, e)
		}
	}
	in.mu.Unlock()
	for _, e := range ours {
		in.trail.settle(e, err)
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
		trail: t, log: l, begun: make(chan struct{}), released: make(chan struct{}), quiet: make(chan struct{}),
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
	ctx, cancel := context.WithCancel(context.Background())
	in.cancel = cancel
	for _, sink := range t.sinks {
		in.beside.Go(func() { sink.run(ctx) }) // ends when the actor has
	}
	for _, anchor := range t.anchors {
		in.beside.Go(func() { anchor.run(ctx) }) // ends when the actor has
	}
	go in.bury() // ends when the actor has ended and its last write has returned
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up, t.last, t.broken = in, in, l.full
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
	in.cancel()
	defer close(in.quiet)
	defer in.beside.Wait()   // last: nobody who waits for the log waits for them
	defer close(in.released) // by then it is known what is lost here: the next incarnation records it

	in.mu.Lock()
	in.over = true
	var rest []*entry
	for e := in.outstanding; e != nil; e = e.next {
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
	spare   []*entry // room for pending
	writing bool
	timer   *actor.Timer // until a failed file, or a full disk, is tried again
	signing *actor.Timer // until a checkpoint is due
	probe   bool         // write also if there is nothing to write
	room    bool         // see whether a full disk has room again
	broken  bool         // the file failed
	full    bool

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
		w.timer, w.probe, w.room = nil, w.full, w.full
	case due:
		w.signing, w.probe = nil, true
	case drained:
		w.drained = true
	case wrote:
		w.writing, w.spare = false, m.spare
		w.broken, w.full = m.err != nil, m.full
		switch {
		case m.panicked:
			c.Exit(m.err)
			return
		case m.final && m.err == nil:
			c.Exit(w.reason)
			return
		case m.err != nil && (m.final || w.in.trail.options.Mode == Required):
			c.Exit(m.err)
			return
		case (m.err != nil || m.full) && w.timer == nil:
			w.timer = c.After(w.in.trail.retry, retry{})
		}
		if m.err == nil && m.unsigned && w.signing == nil {
			w.signing = c.After(w.in.trail.options.CheckpointEvery, due{})
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
	waiting := w.timer != nil && w.broken
	lossesToRecord := !waiting && !w.full && w.in.trail.losses.pending()
	if w.writing || len(w.pending) == 0 && !lossesToRecord && !w.drained && !(w.probe && !waiting) {
		return
	}
	order := order{batch: w.pending, again: !waiting || w.drained, room: w.room || w.drained, final: w.drained}
	w.pending, w.spare, w.writing, w.probe, w.room = w.spare[:0], nil, true, false, false
	// It blocks as long as the disk does. With one record at a time it runs where the actor did.
	written := &writeErrand{in: w.in, order: order}
	c.Dispatch(&written.dispatched, written)
}

// writeErrand is the write of a batch, in a goroutine.
type writeErrand struct {
	dispatched actor.Dispatched[message]
	in         *incarnation
	order      order
}

var _ actor.Errand[message] = (*writeErrand)(nil)

func (w *writeErrand) Run(context.Context) message { return w.in.write(w.order) }

func (w *writeErrand) Failed(reason error) message {
	if panicked, ok := errors.AsType[*actor.PanicError](reason); ok {
		panicked.Where = "write audit records"
	}
	return wrote{err: reason, panicked: true}
}

// Late is not called: no write is abandoned.
func (w *writeErrand) Late(message) {}

// order is what the actor has its goroutine do.
type order struct {
	batch []*entry
	again bool // if the file has failed, open it anew
	room  bool // if the disk was full, see whether it still is
	final bool // then close the log
}

// write makes a batch durable and settles it. It is the goroutine's part: it blocks. In BestEffort mode an
// error says that the log is not open.
func (in *incarnation) write(o order) (result wrote) {
	in.file.Lock()
	defer in.file.Unlock()
	t := in.trail
	result.final, result.spare = o.final, o.batch
	settled := false
	defer func() {
		if !settled { // a panic: the actor ends with it
			result.err = errors.New("writing the record panicked")
			t.fail(result.err)
			in.settle(o.batch, result.err)
		}
	}()
	refused, err := in.commit(&o)
	settled = true
	in.settle(refused, ErrFull)
	in.settle(o.batch, err)
	clear(result.spare)
	if err == nil && in.log != nil {
		err = in.sign(o.final)
	}
	if in.log != nil {
		if err != nil || o.final {
			in.log.close()
			in.log = nil
		} else {
			result.full, result.unsigned = in.log.full, in.log.unsigned() > 0
		}
	}
	if err == nil && o.final {
		t.options.Logger.Info().Str("path", t.options.Dir).Uint64("seq", t.Status().DurableSeq).Msg("audit log closed")
	}
	result.err = err
	return result
}

// commit writes a batch, or what of it a full disk has room for: then it takes out of it what is refused.
func (in *incarnation) commit(o *order) (refused []*entry, err error) {
	t := in.trail
	if in.log == nil {
		if !in.ref.Alive() { // killed, and the file closed before this goroutine came to run
			return nil, errAgain
		}
		if !o.again {
			return nil, t.lastFailure()
		}
		l, err := t.open()
		if err != nil {
			return nil, err
		}
		in.log = l
		if !l.full {
			t.mended()
		}
	}
	l := in.log
	room := false
	if l.full && o.room {
		switch err := l.takeReserve(); {
		case err == nil:
			l.full, room = false, true
		case full(err):
			_ = l.releaseReserve() // there is none, since it could not be taken
		default:
			t.fail(err)
			return nil, err
		}
	}
	var rotated *Record
	var pruned *prune
	if reason := l.due(); reason != "" && !l.full {
		r := l.rotation(reason, l.header.First)
		if err := l.rotate(); err != nil {
			t.fail(err)
			return nil, err
		}
		rotated = &r
		if pruned, err = l.prunable(); err != nil {
			t.options.Logger.Warn().Err(err).Str("path", t.options.Dir).Msg("old audit segments are kept")
		}
	}
	b := l.begin()
	g := t.losses.take()
	fail := func(err error) ([]*entry, error) {
		t.losses.putBack(g)
		return refused, err
	}
	if rotated != nil {
		if err := t.addOwn(b, *rotated); err != nil {
			return fail(err)
		}
	}
	if pruned != nil {
		if err := t.addOwn(b, pruned.record()); err != nil {
			return fail(err)
		}
	}
	if room {
		if err := t.addOwn(b, Record{Kind: LogRecovered, Detail: map[string]any{"reason": "the disk has room again"}}); err != nil {
			return fail(err)
		}
	}
	if l.full && !o.final { // the gap can wait: the losses may go on for long
		t.losses.putBack(g)
		g = nil
	}
	if err := t.addGap(b, g); err != nil {
		return fail(err)
	}
	if l.full {
		o.batch = slices.DeleteFunc(o.batch, func(e *entry) bool {
			if !lastWords[e.kind] {
				refused = append(refused, e)
			}
			return !lastWords[e.kind]
		})
	}
	for _, e := range o.batch {
		b.add(&e.encoded, 0)
	}
	if o.final {
		if err := t.addOwn(b, Record{Kind: LogClosed}); err != nil {
			return fail(err)
		}
	}
	if err := t.finish(l, b, g); err != nil {
		return refused, err
	}
	if room {
		t.mended()
		t.options.Logger.Warn().Str("path", t.options.Dir).Msg("audit log: the disk has room again")
	}
	if pruned != nil {
		l.remove(pruned)
		t.options.Logger.Info().Str("path", t.options.Dir).Uint64("through", pruned.through).Msg("old audit segments removed")
	}
	return refused, nil
}

// sign makes a checkpoint if it is time for one.
func (in *incarnation) sign(now bool) error {
	l, t := in.log, in.trail
	if n := l.unsigned(); n == 0 || !now && n < uint64(t.options.CheckpointRecords) && l.now().Sub(l.signedAt) < t.options.CheckpointEvery {
		return nil
	}
	if err := l.sign(); err != nil {
		if full(err) && now { // last words have no checkpoint then
			return nil
		}
		t.fail(err)
		return err
	}
	t.keep(l)
	return nil
}

// keep tells readers how far the log is.
func (t *Trail) keep(l *log) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.durable, t.signed, t.note, t.origin = l.tree.Size(), l.signedSize, l.checkpoint, l.keys.signer.Name()
	if t.grown != nil {
		close(t.grown)
		t.grown = nil
	}
}

// open opens the log and writes what belongs at the beginning.
func (t *Trail) open() (*log, error) {
	l, repair, err := openLog(t.disk, t.options, &t.memory, t.now)
	if err != nil {
		t.fail(err)
		return nil, err
	}
	for {
		before := t.redactor.Load()
		if t.redactor.CompareAndSwap(before, before.salted(l.keys.salt)) {
			break
		}
	}
	b := l.begin()
	g := t.losses.take()
	if l.begun != "" && l.header.Previous != nil {
		err = t.addOwn(b, l.rotation(l.begun, l.header.Previous.First))
	}
	if err == nil {
		err = t.addOwn(b, Record{Kind: LogOpened, Detail: map[string]any{
			"path": t.options.Dir, "mode": t.options.Mode.String(), "pid": os.Getpid(),
		}})
	}
	if err == nil && repair != nil {
		err = t.addOwn(b, repair.record())
	}
	if err == nil && l.full {
		err = t.addOwn(b, Record{Kind: LogFull})
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
	if err = t.finish(l, b, g); err == nil {
		if err = l.sign(); err != nil {
			t.fail(err)
		}
	}
	if err != nil {
		l.close()
		return nil, err
	}
	t.keep(l)
	if repair != nil {
		t.options.Logger.Warn().Str("path", repair.path).Int64("dropped_bytes", repair.dropped).
			Str("side_file", repair.side).Msg("audit log repaired")
	}
	if l.full {
		t.fail(ErrFull)
	}
	t.options.Logger.Info().Str("path", l.path).Uint64("seq", l.tree.Size()).Msg("audit log open")
	return l, nil
}

// finish makes a batch durable and keeps account of it.
func (t *Trail) finish(l *log, b *batch, g *gap) error {
	if err := l.commit(b); err != nil {
		t.losses.putBack(g)
		t.fail(err)
		return err
	}
	t.keep(l)
	if g != nil {
		t.options.Logger.Warn().Str("path", l.path).Uint64("lost", g.count).Msg("audit records lost")
	}
	return nil
}

// addOwn adds a record of the log's own.
func (t *Trail) addOwn(b *batch, r Record) error {
	r.Runtime, r.Actor = t.options.Runtime, t.options.Name
	r.MonoNS = time.Since(began).Nanoseconds()
	e, err := encode(r, t.redactor.Load().valuesOnly(), levels{}, nil)
	if err != nil {
		return fmt.Errorf("audit log %s: %w", t.options.Dir, err)
	}
	lost := uint64(0)
	if n, ok := r.Detail["count"].(uint64); ok && r.Kind == LogGap {
		lost = n
	}
	b.add(&e, lost)
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
	t.options.Logger.Error().Err(err).Str("path", t.options.Dir).Msg("audit log failed")
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

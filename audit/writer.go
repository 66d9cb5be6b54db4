package audit

import (
	"context"
	"errors"
	"runtime"
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
	arrived struct{} // there are entries in the incarnation's queue
	flush   struct{} // there are losses to record
	retry   struct{} // it is time to open the log anew, or to see whether a full disk has room
	due     struct{} // it is time for a checkpoint
	drained struct{} // what was in the mailbox at the stop has been received
	wrote   struct { // a batch is done
		err      error
		final    bool
		full     bool // the disk is
		unsigned bool // there are records that no checkpoint covers
		panicked bool
		many     bool          // it had a bundle or more
		opening  time.Duration // how long it took to try to open the log anew, if that was tried
		spare    []*entry      // room for the next batch
	}
)

func (arrived) isMessage() {}
func (flush) isMessage()   {}
func (retry) isMessage()   {}
func (due) isMessage()     {}
func (drained) isMessage() {}
func (wrote) isMessage()   {}

// writer is the audit actor. It collects entries while a goroutine of its writes and syncs the batch
// before: all that come in the meantime share the next sync. When there are many it makes their batch meanwhile.
type writer struct {
	in      *incarnation
	pending []*entry
	ahead   *batch   // of the first of them
	spare   []*entry // room for pending
	writing bool
	timer   *actor.Timer // until a failed log, or a full disk, is tried again
	signing *actor.Timer // until a checkpoint is due
	probe   bool         // write also if there is nothing to write
	room    bool         // see whether a full disk has room again
	broken  bool         // the file failed, and no other is open
	full    bool
	well    time.Time // since when it has not been broken

	leaving bool // asked to stop
	drained bool // and all that was queued then is in pending
	reason  error
}

var (
	_ actor.Starter[message] = (*writer)(nil)
	_ actor.Trapper[message] = (*writer)(nil)
)

// Started lets Start return.
func (w *writer) Started(c *actor.Context[message]) error {
	w.well = time.Now()
	if w.full { // nobody may ask for anything as long as it is
		w.timer = c.After(w.in.trail.retry, retry{})
	}
	close(w.in.begun)
	return nil
}

// Receive handles one message. It never blocks.
func (w *writer) Receive(c *actor.Context[message], m message) {
	switch m := m.(type) {
	case arrived:
	case flush:
		w.in.flushing.Store(false)
	case retry:
		w.timer, w.probe, w.room = nil, w.full || w.broken, w.full
	case due:
		w.signing, w.probe = nil, true
	case drained:
		w.drained = true
	case wrote:
		if m.many {
			w.giveWay()
		}
		w.writing, w.spare = false, m.spare
		switch {
		case m.panicked, m.final && m.err != nil:
			c.Exit(m.err)
			return
		case m.final:
			c.Exit(w.reason)
			return
		}
		pause := w.pause(m)
		w.become(m)
		if (w.broken || w.full) && w.timer == nil {
			w.timer = c.After(pause, retry{})
		}
		if m.err == nil && m.unsigned && w.signing == nil {
			w.signing = c.After(w.in.trail.options.CheckpointEvery, due{})
		}
	}
	w.pending = w.in.take(w.pending, w.writing)
	if w.writing {
		w.prepare()
		return
	}
	w.next(c)
}

// become notes what came of a write. While a log that is required is broken it has no incarnation that takes records, as while
// its actor is down.
func (w *writer) become(m wrote) {
	before := w.broken
	w.broken, w.full = m.err != nil, m.full
	if w.broken == before {
		return
	}
	if before {
		w.well = time.Now()
	}
	switch {
	case w.in.trail.options.Mode != Required || w.leaving:
	case w.broken:
		w.in.trail.down(w.in)
	default:
		w.in.trail.serve(w.in)
	}
}

// pause is how long to wait before the log is opened again, or a full disk is asked for room. It does not grow: what is wrong is
// outside of the process, may be put right at any moment, and queries are refused until it is found out. A file that has worked
// for a while may have failed by chance, and the next one may work at once. An opening reads the last segment: one that takes long
// has a fifth of a processor at most.
func (w *writer) pause(m wrote) time.Duration {
	usual := w.in.trail.retry
	if m.err != nil && !w.broken && time.Since(w.well) >= usual {
		return usual / 10
	}
	return max(usual, 4*m.opening)
}

// enough is how many records are worth a write of their own.
const enough = 4 * bundle

// giveWay lets those run first who are ready to, which takes no time where a processor is idle. With many producers what they
// do is what holds the log up, and a write keeps a processor from them for as long as it takes: small batches are dear. So is
// one that has all of them: the best is that one half is made while the other is written.
func (w *writer) giveWay() {
	for range 2 { // once was not enough, and more was no better
		if w.pending = w.in.take(w.pending, true); len(w.pending) >= enough {
			return
		}
		runtime.Gosched()
	}
}

// prepare makes the next batch of what is pending, as far as that can be done while the one before is written.
func (w *writer) prepare() {
	if w.ahead == nil {
		w.ahead = w.in.ahead.Swap(nil)
	}
	if w.ahead == nil || len(w.pending) < bundle {
		return
	}
	for _, e := range w.pending[len(w.ahead.starts):] {
		w.ahead.add(&e.encoded, 0)
	}
	w.ahead.seal(len(w.ahead.starts) / bundle * bundle)
}

// Exiting lets what is queued be written first. What comes later waits for the next incarnation.
func (w *writer) Exiting(c *actor.Context[message], reason error) {
	w.reason, w.leaving = reason, true
	c.Post(drained{})
	w.in.trail.down(w.in)
}

// next starts the next batch if there is reason to and none is at work.
func (w *writer) next(c *actor.Context[message]) {
	// While a failed log waits for its next try, entries are let through to fail at once; losses alone
	// are no reason to try.
	waiting := w.timer != nil && w.broken
	lossesToRecord := !waiting && !w.full && w.in.trail.losses.pending()
	if w.writing || len(w.pending) == 0 && !lossesToRecord && !w.drained && !(w.probe && !waiting) {
		return
	}
	if w.ahead == nil {
		w.ahead = w.in.ahead.Swap(nil) // nobody else may take it from here on
	}
	order := order{batch: w.pending, ahead: w.ahead, again: !waiting || w.drained, room: w.room || w.drained, final: w.drained}
	w.pending, w.ahead, w.spare = w.spare[:0], nil, nil
	w.writing, w.probe, w.room = true, false, false
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

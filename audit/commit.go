package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// order is what the actor has its goroutine do.
type order struct {
	batch []*entry
	ahead *batch // what was made of the first of them; nil if nothing was
	again bool   // if the file has failed, open it anew
	room  bool   // if the disk was full, see whether it still is
	final bool   // then close the log
}

// write makes a batch durable and settles it. It is the goroutine's part: it blocks. An error says that the log is not open.
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
	begun, reopens := time.Now(), in.log == nil && o.again
	refused, err := in.commit(&o)
	settled = true
	if reopens {
		result.opening = time.Since(begun)
	}
	in.settle(refused, ErrFull)
	if result.many = len(o.batch) >= bundle && err == nil && !o.final; result.many {
		result.spare = nil
		in.settling.Go(func() { in.settle(o.batch, nil) }) // the next batch need not wait for that
	} else {
		in.settle(o.batch, err)
		clear(result.spare)
	}
	if err == nil && in.log != nil {
		in.log.follow() // whoever waited makes the next record meanwhile
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
		l.ahead, in.log = &in.ahead, l
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
	b, made := o.ahead, 0
	if b != nil && b.log == l {
		made = len(b.starts) // in this segment, even if it is due to end by now
	}
	if reason := l.due(l.offset); reason != "" && !l.full && made == 0 {
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
	if made == 0 {
		b = l.begin()
	}
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
	for _, e := range o.batch[made:] {
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
	if n := l.unsigned(); n == 0 || !now && n < uint64(t.options.CheckpointRecords) && l.now().Sub(l.signedAt).Abs() < t.options.CheckpointEvery {
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
	// What this process has left open it will end itself. Room that a full disk has kept is for those.
	var left []Record
	if err == nil && !t.opened && !l.full {
		var problem error
		if left, problem = l.orphans(context.Background()); problem != nil {
			t.options.Logger.Warn().Err(problem).Str("path", t.options.Dir).Msg("tool uses that an earlier runtime has left may have no end in the log")
		}
	}
	for _, end := range left {
		if err == nil {
			err = t.addOwn(b, end)
		}
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
	t.opened = true
	if len(left) > 0 {
		t.options.Logger.Warn().Str("path", l.path).Int("tool_uses", len(left)).
			Msg("an earlier runtime has left tool uses without an end: recorded as orphans")
	}
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

// sayAgain is how often the same failure is put into the daemon's log, while the audit log is tried again and again.
const sayAgain = time.Minute

// fail notes that the file has failed.
func (t *Trail) fail(err error) {
	t.failed(err)
	t.mu.Lock()
	t.broken = true
	text, now := err.Error(), time.Now()
	say := text != t.said || now.Sub(t.saidAt) >= sayAgain
	if say {
		t.said, t.saidAt = text, now
	}
	t.mu.Unlock()
	if say {
		t.options.Logger.Error().Err(err).Str("path", t.options.Dir).Msg("audit log failed")
	}
}

func (t *Trail) mended() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken, t.said = false, ""
}

func (t *Trail) lastFailure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failure
}

package session

import (
	"context"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// keeper writes the session's record, one write at a time; what is asked for meanwhile shares the next.
type keeper struct {
	busy    bool
	failing bool
	next    []func(*actor.Context[message])
}

// saveAgain is when a record that could not be written is tried again, if nothing has it written before, and no prompts wait for that.
const saveAgain = 5 * time.Second

// saveSoon is how long what can be found out again may wait for what has to be written anyway.
const saveSoon = 50 * time.Millisecond

// save has the record of the moment written, and then does what needs it on disk. A write that fails is
// logged and does not hold the session up: what is lost if the runtime dies too is how far it had come. Only
// prompts of an earlier runtime wait for one that does not.
func (k *keeper) save(c *actor.Context[message], l *loop, then func(*actor.Context[message])) {
	if then == nil {
		then = func(*actor.Context[message]) {}
	}
	k.next = append(k.next, then)
	if !k.busy {
		k.start(c, l)
	}
}

// soon has the record written before long, together with what comes until then.
func (k *keeper) soon(c *actor.Context[message], l *loop) {
	if !k.failing && l.timers[saveDeadline] == nil {
		l.after(c, saveDeadline, saveSoon)
	}
}

func (k *keeper) start(c *actor.Context[message], l *loop) {
	k.busy = true
	l.cancel(saveDeadline) // this is the record of the moment
	todo := k.next
	k.next = nil
	kept, _ := l.desk.snapshot()
	kept.Queue, kept.Running = l.desk.queued(l.options.Redeliver), l.record.Ledger.used(&l.tally)
	file := l.session.file
	c.Go("save state", func(context.Context) message {
		err := file(kept)
		return saved{err, func(c *actor.Context[message]) {
			for _, then := range todo {
				then(c)
			}
		}}
	})
}

func (k *keeper) done(c *actor.Context[message], m saved, l *loop) {
	again := k.failing && m.err == nil
	switch {
	case m.err != nil:
		if !k.failing {
			l.session.notice(NoticeStateUnsaved, m.err.Error(), nil)
		}
		switch {
		case l.finished:
		case l.desk.requeued() > 0:
			l.after(c, saveDeadline, tryAgain)
		default:
			l.after(c, saveDeadline, saveAgain)
		}
	case k.failing:
		l.session.notice(NoticeStateSaved, "the session's state is on disk again", nil)
	}
	if failing := m.err != nil; failing || k.failing {
		k.failing = failing
		l.desk.update(func(_ *record, info *Info) {
			info.Unsaved = ""
			if failing {
				info.Unsaved = m.err.Error()
			}
		})
	}
	k.busy = false
	m.then(c)
	if len(k.next) > 0 && !k.busy {
		k.start(c, l)
	}
	switch {
	case l.finished:
	case k.failing:
		l.tellPostponed()
	case again:
		l.pump(c) // what has waited for it
	}
}

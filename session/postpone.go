package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
)

// A prompt of an earlier runtime (Options.Redeliver) goes out when the attempt is counted on disk, and when an audit log that has to have it
// has it. Until then it stays in the queue: nobody waits for it who could ask once more. Those behind it pass: they do not wait for the
// state, and are refused without the log.

// tryAgain is when it is looked again whether what such prompts wait for is there. An audit log that cannot be written tries itself as often.
const tryAgain = time.Second

// withholds reports whether prompts of an earlier runtime stay in the queue for now. unaudited is why no turn may begin.
func (l *loop) withholds(unaudited error) bool {
	return l.keeper.failing || l.timers[logDeadline] != nil || unaudited != nil
}

// logFailed reports whether it was the audit log, and not the record, for which a record is not in it.
func (l *loop) logFailed(err error) bool {
	_, file := errors.AsType[*audit.FileError](err)
	return file || errors.Is(err, audit.ErrFull) || l.session.unaudited() != nil
}

// postpone puts a prompt of an earlier runtime back into the queue, since it may not go out yet.
func (l *loop) postpone(c *actor.Context[message], q *query) {
	l.unbegun(c, q)
	l.setCurrent(nil)
	if err := l.desk.putBack(q); err != nil {
		l.session.ended(q, err)
	}
	l.keeper.soon(c, l) // that it was not given to this process
	if !l.turns.open {
		l.rest(c) // those behind it run
	}
}

// awaitLog looks again after a while, as long as such prompts wait for the audit log. For the state they wait with the keeper, which tries
// to write it.
func (l *loop) awaitLog(c *actor.Context[message]) {
	unaudited := l.session.unaudited()
	if !l.withholds(unaudited) {
		l.postponed = false
		return
	}
	l.tellPostponed()
	if unaudited != nil && l.timers[logDeadline] == nil && l.desk.requeued() > 0 {
		l.after(c, logDeadline, tryAgain)
	}
}

// tellPostponed says that such prompts wait, once until they need not any more.
func (l *loop) tellPostponed() {
	n := l.desk.requeued()
	if n == 0 || l.postponed {
		return
	}
	l.postponed = true
	what := "the audit log can be written"
	if l.keeper.failing {
		what = "it is on disk that they are"
	}
	l.session.notice(NoticePromptsWait, fmt.Sprintf("%d prompts of an earlier runtime are not delivered before %s (redeliver)", n, what),
		map[string]any{"prompts": n})
}

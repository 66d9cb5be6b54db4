package session

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// loop is one incarnation of a session: the actor that owns one CLI process.
type loop struct {
	session *Session
	over    context.Context // ends with the actor, which may be killed in the middle of anything
	options Options
	desk    *desk
	log     zerolog.Logger

	record  record // as of the start; kept in step with the desk's
	process *process.Process
	outbox  chan []byte
	program process.Identity
	command command
	unwatch func() bool             // takes back that the process is killed when the actor ends
	waiting []actor.Reply[struct{}] // for it to be ready
	ready   bool
	resumed bool
	joining bool   // with a conversation that was not the session's before
	retried bool   // the other of --session-id and --resume was tried
	left    string // the conversation that the CLI was in before; empty if it is known to be in the same
	renamed bool   // neither worked, and another session id was taken
	proven  bool   // the process had a good result

	unattend func()                        // takes back what is done for the session when the actor ends
	ear      *atomic.Pointer[func(string)] // hears what the process writes to stderr
	owner    *atomic.Pointer[Session]      // session, for who is not the actor
	waitedAs string                        // the name under which the process waited for the session; empty if it did not

	account   string // who pays, for the governor
	admission *admission
	unadmit   context.CancelFunc // gives up the wait for admission; nil if there is none
	permit    *permit            // to have a turn running; nil if there is none
	queuing   bool               // for a permit
	postponed bool               // it was said that prompts wait for the record to be written
	lying     bool               // it waits to hibernate: see lieDown
	dozing    bool               // the process is being ended since there is nothing to do
	asleep    bool               // and has ended
	waking    bool               // a process after that is there or coming up
	controls  []control          // that wait for it to wake up
	drains    []actor.Reply[struct{}]
	retrying  bool // the CLI tries an API request again

	turns   turns
	atWork  bool      // by the CLI's own word; a turn of its own may be about to begin
	current *query    // whose prompt the CLI has
	heard   time.Time // when the CLI last said something
	tools   map[string]*toolUse
	lost    map[string]*toolUse // ended without a result
	tally   tally               // the model calls since the last result
	context int64               // tokens of it, as last told
	// delivery is what of the frames at hand is for the current query.
	delivery []protocol.Message
	policy   policy

	requests   map[string]*request // ours to the CLI, unanswered
	questions  map[string]context.CancelFunc
	hosted     map[string]*hosted          // MCP servers in this program, by name
	approvals  map[string]*pendingApproval // by the id of the control request
	deaf       int                         // how many in a row went unanswered
	probing    bool                        // the session itself asks whether they are answered again
	sequence   int
	timers     map[deadline]*actor.Timer
	noise      int
	background int     // what the CLI has running behind its turns
	runaway    runaway // what its agents do beyond reason
	shown      int     // of the subagents at work
	overspent  bool    // the turn is being ended for that
	cutCost    float64 // what the turn had cost that the process's end cut

	keeper    keeper
	callbacks callbacks
	chronicle chronicle

	stopping     bool                // asked to
	interrupting bool                // the stop began with a turn
	laddered     bool                // the process is being ended
	finished     bool                // the end is decided and being recorded
	steps        []process.StepStart // by which the last process was ended
	cause        error               // why this program is ending the process, if it is not asked to
}

func newLoop(s *Session) *loop {
	owner := new(atomic.Pointer[Session])
	owner.Store(s)
	return &loop{
		owner:   owner,
		account: account(s.spec.Options), ear: new(atomic.Pointer[func(string)]),
		session: s, options: s.spec.Options, desk: s.desk, log: s.spec.Logger.With().Str("session", s.name).Logger(),
		tools: make(map[string]*toolUse), requests: make(map[string]*request),
		questions: make(map[string]context.CancelFunc), approvals: make(map[string]*pendingApproval), hosted: make(map[string]*hosted), timers: make(map[deadline]*actor.Timer),
	}
}

// Receive handles one message.
func (l *loop) Receive(c *actor.Context[message], m message) {
	l.handle(c, m)
	l.lieDown(c)
}

func (l *loop) handle(c *actor.Context[message], m message) {
	switch m := m.(type) {
	case awaitReady:
		if l.ready {
			m.reply.Send(struct{}{})
		} else {
			l.waiting = append(l.waiting, m.reply)
		}
	case wake:
		l.pump(c)
		switch {
		case !l.desk.empty(): // on disk too that it waits
			l.keeper.save(c, l, nil)
		case l.desk.listed(): // and that it was taken back
			l.keeper.soon(c, l)
		}
	case abandon:
		l.onAbandon(c, m.query)
	case interrupt:
		l.onInterrupt(c, m.reply)
	case keep:
		l.keeper.save(c, l, func(*actor.Context[message]) { m.reply.Send(struct{}{}) })
	case control:
		l.onControl(c, m)
	case adopt:
		l.onAdopt(c, m)
	case admitted:
		l.onAdmitted(c, m)
	case launched:
		l.onLaunched(c, m)
	case frames:
		l.onFrames(c, m)
	case noise:
		l.onNoise(c, m.err)
	case ended:
		l.onEnded(c, m)
	case saved:
		l.keeper.done(c, m, l)
	case intentKept:
		l.onIntentKept(c, m)
	case promptKept:
		l.onPromptKept(c, m)
	case decided:
		l.onDecided(c, m)
	case hookDone:
		l.onHookDone(c, m)
	case rpcSent:
		l.onRPCSent(c, m)
	case hostAnswered:
		l.onHostAnswered(c, m)
	case answered:
		l.onAnswered(c, m)
	case unanswered:
		l.onUnanswered(c, m.request)
	case called:
		l.callbacks.done(c)
	case permitted:
		l.onPermitted(c, m.permit)
	case hibernate:
		l.onHibernate(c)
	case quiet:
		l.onDrain(m.reply)
	case working:
		l.onWorking(m.reply)
	case overdue:
		delete(l.timers, m.what)
		l.onOverdue(c, m.what)
	case silent:
		l.onSilent(c, m.request)
	case observed:
		l.interruptTurn(c, nil, nil)
	case writerEnded, processGone:
	}
}

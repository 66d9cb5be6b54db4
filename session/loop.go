package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// message is what a session's actor receives.
//
//sumtype:decl
type message interface{ isMessage() }

type (
	// From handles.
	awaitReady struct{ reply actor.Reply[struct{}] }
	wake       struct{}
	abandon    struct{ query *query }
	interrupt  struct{ reply actor.Reply[struct{}] }
	keep       struct{ reply actor.Reply[struct{}] }
	control    struct {
		body  protocol.ControlBody
		reply actor.Reply[*protocol.ControlResponse]
	}

	// From the process.
	launched struct {
		process *process.Process
		unwatch func() bool // takes back that the process is killed when the actor ends
		err     error
	}
	frame struct{ message protocol.Message }
	noise struct{ err error }
	ended struct {
		exit process.Exit
		err  error // what was wrong with its stdout
	}
	writerEnded struct{}
	observed    struct{} // what it has running

	// From work that the actor has others do.
	saved struct {
		err  error
		then func(*actor.Context[message])
	}
	intentKept struct {
		requestID string
		err       error
	}
	decided struct {
		requestID string
		question  *protocol.CanUseTool
		result    protocol.PermissionResult
		err       error
	}
	called      struct{}
	processGone struct{}

	// Time.
	overdue struct{ what deadline }
	silent  struct{ request string }
)

func (awaitReady) isMessage()  {}
func (wake) isMessage()        {}
func (abandon) isMessage()     {}
func (interrupt) isMessage()   {}
func (keep) isMessage()        {}
func (control) isMessage()     {}
func (launched) isMessage()    {}
func (frame) isMessage()       {}
func (noise) isMessage()       {}
func (ended) isMessage()       {}
func (writerEnded) isMessage() {}
func (observed) isMessage()    {}
func (saved) isMessage()       {}
func (intentKept) isMessage()  {}
func (decided) isMessage()     {}
func (called) isMessage()      {}
func (processGone) isMessage() {}
func (overdue) isMessage()     {}
func (silent) isMessage()      {}

// deadline names a timer of the actor.
type deadline string

const (
	startDeadline     deadline = "start"     // the handshake
	stallDeadline     deadline = "stall"     // silence during a turn
	turnDeadline      deadline = "turn"      // a turn's length
	interruptDeadline deadline = "interrupt" // the result of an interrupted turn
	drainDeadline     deadline = "drain"     // the turn that runs when a stop is asked for
	settleDeadline    deadline = "settle"    // the CLI's word that it is idle
)

// interruptGrace is how long an interrupted turn may take to end. The CLI needs some 30 ms, and up to two
// seconds for a tool in a sandbox.
const interruptGrace = 10 * time.Second

// settleGrace is how long the CLI is believed to be at work while nothing is seen of it. Its word that it is
// idle comes within milliseconds of a result.
const settleGrace = 2 * time.Second

// maxNoise is how many lines of a process's stdout may be no frames. More are garbage.
const maxNoise = 100

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
	unwatch func() bool             // takes back that the process is killed when the actor ends
	waiting []actor.Reply[struct{}] // for it to be ready
	ready   bool
	resumed bool
	retried bool // the other of --session-id and --resume was tried
	renamed bool // neither worked, and another session id was taken

	turns   turns
	atWork  bool      // by the CLI's own word; a turn of its own may be about to begin
	current *query    // whose prompt the CLI has
	heard   time.Time // when the CLI last said something
	tools   map[string]*toolUse

	requests  map[string]*request // ours to the CLI, unanswered
	questions map[string]context.CancelFunc
	sequence  int
	timers    map[deadline]*actor.Timer
	noise     int

	keeper    keeper
	callbacks callbacks

	stopping bool  // asked to
	laddered bool  // the process is being ended
	finished bool  // the end is decided and being recorded
	cause    error // why this program is ending the process, if it is not asked to
}

func newLoop(s *Session) *loop {
	return &loop{
		session: s, options: s.spec.Options, desk: s.desk, log: s.spec.Logger.With().Str("session", s.name).Logger(),
		tools: make(map[string]*toolUse), requests: make(map[string]*request),
		questions: make(map[string]context.CancelFunc), timers: make(map[deadline]*actor.Timer),
	}
}

// Receive handles one message.
func (l *loop) Receive(c *actor.Context[message], m message) {
	switch m := m.(type) {
	case awaitReady:
		if l.ready {
			m.reply.Send(struct{}{})
		} else {
			l.waiting = append(l.waiting, m.reply)
		}
	case wake:
		l.pump(c)
	case abandon:
		l.onAbandon(c, m.query)
	case interrupt:
		l.onInterrupt(c, m.reply)
	case keep:
		l.keeper.save(c, l, func(*actor.Context[message]) { m.reply.Send(struct{}{}) })
	case control:
		l.onControl(c, m)
	case launched:
		l.onLaunched(c, m)
	case frame:
		l.onFrame(c, m.message)
	case noise:
		l.onNoise(c, m.err)
	case ended:
		l.onEnded(c, m)
	case saved:
		l.keeper.done(c, m, l)
	case intentKept:
		l.onIntentKept(c, m)
	case decided:
		l.onDecided(c, m)
	case called:
		l.callbacks.done(c)
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

// Started begins the incarnation: its number is on disk before the process exists.
func (l *loop) Started(c *actor.Context[message]) error {
	l.desk.update(func(r *record, info *Info) {
		r.Generation++
		l.record = *r
		info.State, info.Generation, info.Tool, info.ToolArg = Starting, r.Generation, "", ""
	})
	l.log = l.log.With().Int("generation", l.record.Generation).Logger()
	// An actor that is killed, or panics, ends without having answered: whoever waits for its turn must not
	// wait for ever.
	l.over = c.Context()
	context.AfterFunc(l.over, func() { l.desk.orphan(l) })
	l.heard = time.Now()
	l.after(c, startDeadline, l.options.StartTimeout)
	l.keeper.save(c, l, func(c *actor.Context[message]) { l.launch(c) })
	return nil
}

// launch starts the process.
func (l *loop) launch(c *actor.Context[message]) {
	if l.stopping {
		l.finish(c, nil)
		return
	}
	spec := l.session.launch(l.record)
	l.resumed = spec.Resume
	alive := &l.session.alive
	alive.enter()
	c.Go("start CLI", func(ctx context.Context) message {
		p, err := process.Start(spec, process.Options{})
		if err != nil {
			alive.leave()
			return launched{err: err}
		}
		go func() { // ends with the process
			<-p.Done()
			alive.leave()
		}()
		if ctx.Err() != nil { // the actor has ended meanwhile, and will not take it
			p.Kill()
			return launched{err: context.Cause(ctx)}
		}
		// However the actor ends, its process ends with it: the context is cancelled when it is killed, and
		// when it ends in a panic.
		return launched{p, context.AfterFunc(ctx, func() { p.Kill() }), nil}
	})
}

func (l *loop) onLaunched(c *actor.Context[message], m launched) {
	if m.err != nil {
		l.desk.update(func(_ *record, info *Info) { info.PID = 0 })
		var start *process.StartError
		class := process.ClassRequest
		if errors.As(m.err, &start) {
			class = start.Class
		}
		l.finish(c, &CrashError{Class: class, Phase: PhaseStart, Cause: m.err})
		return
	}
	p := m.process
	l.process, l.unwatch = p, m.unwatch
	l.record.Ledger.begin(l.resumed)
	l.desk.mu.Lock()
	l.desk.stderr = p.Stderr
	l.desk.mu.Unlock()
	l.desk.update(func(r *record, info *Info) {
		r.Ledger = l.record.Ledger
		info.PID, info.StartedAt = p.PID(), p.StartedAt()
	})
	self := c.Self()
	c.Go("read CLI", func(ctx context.Context) message { return read(ctx, self, p) })
	outbox := make(chan []byte, 256)
	l.outbox = outbox
	c.Go("write CLI", func(ctx context.Context) message { return write(ctx, outbox, p) })
	l.auditStarted()
	switch {
	case l.finished: // too late: it was given up
		l.stopLadder(c, process.Ladder{Stdin: -1, Term: -1})
	case l.stopping:
		l.endProcess(c)
	default:
		l.initialize(c)
	}
}

// read turns stdout into messages, and the process's end into the last of them. It never waits for a
// consumer, only for the actor.
func read(ctx context.Context, self actor.Ref[message], p *process.Process) message {
	reader := protocol.NewReader(p.Stdout(), protocol.DefaultMaxLine)
	var trouble error
	for {
		line, err := reader.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				trouble = fmt.Errorf("stdout: %w", err)
			}
			break
		}
		m, err := protocol.Decode(line)
		next := message(frame{m})
		if err != nil {
			next = noise{err}
		}
		if self.SendWait(ctx, next) != nil {
			break // the actor has ended, and its context kills the process
		}
	}
	// A process that cannot be read is no use. One that closed its stdout may be about to exit.
	if trouble == nil {
		select {
		case <-p.Done():
		case <-time.After(5 * time.Second):
			trouble = errors.New("it closed its stdout and went on running")
		}
	}
	if trouble != nil {
		p.Kill()
	}
	<-p.Done()
	_ = p.Stdout().Close() // read to its end, or given up
	return ended{p.Exit(), trouble}
}

// write feeds stdin. A process that does not read holds up this goroutine alone.
func write(ctx context.Context, outbox <-chan []byte, p *process.Process) message {
	for {
		select {
		case line := <-outbox:
			if _, err := p.Stdin().Write(line); err != nil {
				<-p.Done() // the reader reports how it ended
				return writerEnded{}
			}
		case <-p.Done():
			return writerEnded{}
		case <-ctx.Done():
			return writerEnded{}
		}
	}
}

// send writes a frame to the CLI.
func (l *loop) send(c *actor.Context[message], m protocol.Message) {
	line, err := protocol.Encode(m)
	if err != nil {
		l.abort(c, fmt.Errorf("encode %s: %w", m.Kind(), err))
		return
	}
	select {
	case l.outbox <- append(line, '\n'):
	default:
		l.abort(c, errors.New("it does not read its stdin"))
	}
}

// initialize sends the handshake. No prompt is sent before it is answered, so that no tool runs before
// the hooks are in place.
func (l *loop) initialize(c *actor.Context[message]) {
	body := &protocol.Initialize{Hooks: map[string][]protocol.HookMatcher{
		protocol.HookPreToolUse: {{
			HookCallbackIDs: []string{intentHook}, Timeout: int(hookTimeout / time.Second), OnFailure: protocol.OnFailureBlock,
		}},
	}}
	l.request(c, body, l.options.StartTimeout, func(c *actor.Context[message], r *protocol.ControlResponse, err error) {
		if err == nil {
			err = r.Err()
		}
		var answer *protocol.InitializeResponse
		if err == nil {
			answer, err = r.Initialize()
		}
		switch {
		case err != nil:
			l.abort(c, fmt.Errorf("handshake: %w", err))
		case answer.HooksApplied == nil || !*answer.HooksApplied:
			// It would go on without them, and tools would run unseen.
			l.abort(c, errors.New("handshake: the CLI did not apply the hooks that tools are audited by; its version may be too old"))
		default:
			l.becomeReady(c, answer)
		}
	})
}

func (l *loop) becomeReady(c *actor.Context[message], answer *protocol.InitializeResponse) {
	l.ready = true
	l.cancel(startDeadline)
	l.desk.update(func(_ *record, info *Info) {
		info.State, info.Version = Idle, answer.ClaudeCodeVersion
		if answer.CurrentPermissionMode != "" {
			info.Mode = string(answer.CurrentPermissionMode)
		}
	})
	l.log.Info().Int("pid", l.process.PID()).Str("cli", answer.ClaudeCodeVersion).Bool("resumed", l.resumed).Msg("session ready")
	l.audit(audit.Record{Kind: audit.SessionReady, Detail: map[string]any{"cli_version": answer.ClaudeCodeVersion, "resumed": l.resumed}})
	for _, reply := range l.waiting {
		reply.Send(struct{}{})
	}
	l.waiting = nil
	l.pump(c)
}

func (l *loop) onNoise(c *actor.Context[message], err error) {
	l.noise++
	l.desk.update(func(_ *record, info *Info) { info.NoiseLines++ })
	isFrame := false
	if decode, ok := errors.AsType[*protocol.DecodeError](err); ok {
		isFrame = strings.HasPrefix(strings.TrimSpace(decode.Excerpt), "{")
	}
	l.log.Warn().Err(err).Msg("line on stdout is no frame")
	if !l.ready || isFrame || l.noise > maxNoise {
		l.abort(c, fmt.Errorf("garbage on stdout: %w", err))
	}
}

// abort ends a process that cannot be worked with.
func (l *loop) abort(c *actor.Context[message], cause error) {
	if l.cause != nil || l.process == nil {
		return
	}
	l.cause = cause
	l.log.Warn().Err(cause).Msg("ending the CLI")
	l.stopLadder(c, process.Ladder{Stdin: -1, Term: 2 * time.Second})
}

// onEnded handles the end of the process, after everything it wrote was handled.
func (l *loop) onEnded(c *actor.Context[message], m ended) {
	l.unwatch()
	l.process = nil
	l.laddered = false
	l.desk.update(func(_ *record, info *Info) { info.PID, info.Tool, info.ToolArg = 0, "", "" })
	clean := m.exit.Signal == 0 && (m.exit.Code == 0 || m.exit.Code == 1 || m.exit.Code == 143)
	l.record.Ledger.end(clean)
	l.desk.update(func(r *record, _ *Info) { r.Ledger = l.record.Ledger })
	l.orphanTools()
	for id, cancel := range l.questions {
		cancel()
		delete(l.questions, id)
	}
	if l.stopping && l.cause == nil {
		l.finish(c, nil)
		return
	}
	if l.finished {
		return
	}
	class := m.exit.Class()
	if l.otherLaunch(c, class) {
		return
	}
	crash := &CrashError{Exit: m.exit, Class: class, Cause: l.cause, Phase: PhaseIdle}
	if crash.Cause == nil && m.err != nil {
		crash.Cause = m.err
	}
	if crash.Cause != nil && class == process.ClassStopped {
		crash.Class = process.ClassProtocol
	}
	switch {
	case !l.ready:
		crash.Phase = PhaseStart
	case l.current != nil || l.turns.open:
		crash.Phase = PhaseTurn
	}
	l.finish(c, crash)
}

// otherLaunch starts the process once more, when it turned out that the conversation does not exist that
// was to be resumed, or exists already that was to be begun. If both is so, which a damaged transcript
// does, the conversation is lost and its id taken: a new one begins under another id. No incarnation does
// any of it twice.
func (l *loop) otherLaunch(c *actor.Context[message], class process.ExitClass) bool {
	if l.ready || l.renamed || l.stopping || l.cause != nil {
		return false
	}
	r, _ := l.desk.snapshot()
	id, begun := r.SessionID, false
	var what string
	switch {
	case class != process.ClassNoConversation && class != process.ClassSessionInUse:
		return false
	case l.retried:
		l.renamed = true
		id, what = uuid.NewString(), "unusable: a new one under another id"
	case class == process.ClassNoConversation && l.resumed:
		what = "lost: a new one under the same id"
	case class == process.ClassSessionInUse && !l.resumed:
		begun, what = true, "exists: resumed"
	default:
		return false
	}
	l.retried = true
	l.log.Warn().Str("conversation", what).Msg("starting the CLI once more")
	l.audit(audit.Record{Kind: audit.SessionRestarted, Detail: map[string]any{"conversation": what, "next_session_id": id}})
	for id := range l.requests { // the handshake that will not be answered
		l.settle(id)
	}
	l.desk.update(func(r *record, info *Info) {
		r.Begun, r.SessionID, info.SessionID = begun, id, id
		l.record = *r
	})
	l.keeper.save(c, l, func(c *actor.Context[message]) { l.launch(c) })
	return true
}

// finish ends the incarnation. A nil crash is an end that was asked for.
func (l *loop) finish(c *actor.Context[message], crash *CrashError) {
	if l.finished {
		return
	}
	l.finished = true
	record := audit.Record{Kind: audit.SessionStopped}
	var reason error = actor.ErrShutdown
	if crash != nil {
		r, _ := l.desk.snapshot()
		crash.Session, crash.SessionID, crash.Generation = l.session.name, r.SessionID, r.Generation
		crash.Resumable = r.Begun && !l.options.NoSessionPersistence
		reason = crash
		record.Kind = audit.SessionCrashed
		record.Exit = &audit.Exit{Reason: crash.Error(), Code: crash.Exit.Code, Signal: signalName(crash.Exit)}
		l.log.Warn().Err(crash).Str("class", string(crash.Class)).Msg("session crashed")
	} else {
		l.log.Info().Msg("session stopped")
	}
	l.audit(record)
	if q := l.current; q != nil {
		l.setCurrent(nil)
		l.release(q, crash)
	}
	for id, r := range l.requests {
		delete(l.requests, id)
		r.timer.Stop()
		r.answer(c, nil, fmt.Errorf("session %s: %w", l.session.name, ErrNotRunning))
	}
	l.keeper.save(c, l, func(c *actor.Context[message]) { c.Exit(reason) })
}

// maxAttempts is how many processes may die with a prompt before it is held against it.
const maxAttempts = 2

// release ends the query whose prompt the process had, or puts it back. A process that died before it said
// that it has the prompt was most likely dead when it was written. Should it have read it all the same, the
// prompt's uuid keeps it from running twice.
func (l *loop) release(q *query, crash *CrashError) {
	switch {
	case crash == nil:
		q.stream.close(fmt.Errorf("session %s: %w", l.session.name, ErrStopped))
	case q.taken && !l.options.Redeliver, q.cause != nil, q.attempts >= maxAttempts, crash.Permanent(), q.gone.Load():
		q.stream.close(crash)
	default:
		if q.taken {
			q.crash = crash
		}
		q.sent, q.taken = false, false
		if err := l.desk.putBack(q); err != nil {
			q.stream.close(err)
		}
	}
}

func signalName(e process.Exit) string {
	if e.Signal == 0 {
		return ""
	}
	return e.Signal.String()
}

func (l *loop) after(c *actor.Context[message], what deadline, d time.Duration) {
	l.cancel(what)
	if d > 0 {
		l.timers[what] = c.After(d, overdue{what})
	}
}

func (l *loop) cancel(what deadline) {
	l.timers[what].Stop()
	delete(l.timers, what)
}

func (l *loop) onOverdue(c *actor.Context[message], what deadline) {
	switch what {
	case startDeadline:
		cause := fmt.Errorf("it did not answer the handshake within %v (start_timeout)", l.options.StartTimeout)
		if l.process == nil {
			l.finish(c, &CrashError{Class: process.ClassResources, Phase: PhaseStart, Cause: cause})
			return
		}
		l.abort(c, cause)
	case stallDeadline:
		if l.current == nil && !l.turns.open {
			return
		}
		left := l.options.StallTimeout - time.Since(l.heard)
		if len(l.tools) > 0 || len(l.questions) > 0 { // it waits for a tool, or for us
			left = l.options.StallTimeout
		}
		if left > 0 {
			l.after(c, stallDeadline, left)
			return
		}
		l.abort(c, fmt.Errorf("it said nothing for %v during a turn (stall_timeout)", l.options.StallTimeout))
	case turnDeadline:
		l.interruptTurn(c, fmt.Errorf("session %s: %w: %v (turn_timeout)", l.session.name, ErrTurnTimeout, l.options.TurnTimeout), nil)
	case interruptDeadline:
		l.abort(c, fmt.Errorf("it did not end an interrupted turn within %v", interruptGrace))
	case drainDeadline:
		l.endProcess(c)
	case settleDeadline:
		if l.current == nil && !l.turns.open {
			l.atWork = false
			l.pump(c)
		}
	}
}

package session

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// Started begins the incarnation: its number is on disk before the process exists.
func (l *loop) Started(c *actor.Context[message]) error {
	l.over = c.Context()
	l.attend(c)
	l.nextGeneration(c)
	return nil
}

// nextGeneration starts a process, when its number is on disk.
func (l *loop) nextGeneration(c *actor.Context[message]) {
	l.desk.update(func(r *record, info *Info) {
		r.Generation++
		l.record = *r
		info.State, info.Generation, info.Tool, info.ToolArg = Starting, r.Generation, "", ""
	})
	l.log = l.session.spec.Logger.With().Str("session", l.session.name).Int("generation", l.record.Generation).Logger()
	l.heard = time.Now()
	l.keeper.save(c, l, func(c *actor.Context[message]) { l.launch(c) })
}

// launch starts the process, when there is room for it.
func (l *loop) launch(c *actor.Context[message]) {
	if l.stopping {
		l.finish(c, nil)
		return
	}
	g := l.session.spec.Governor
	if g == nil {
		l.start(c, nil)
		return
	}
	ctx, cancel := context.WithCancel(l.over)
	l.unadmit = cancel
	desk, waiting := l.desk, l.session.spec.waiting
	c.Go("wait for room for a process", func(context.Context) message {
		a, err := g.admit(ctx, l.over, waiting, func(why string) { desk.update(func(_ *record, info *Info) { info.Waits = why }) })
		return admitted{a, err}
	})
}

func (l *loop) onAdmitted(c *actor.Context[message], m admitted) {
	l.unadmit()
	l.unadmit = nil
	l.desk.update(func(_ *record, info *Info) { info.Waits = "" })
	switch {
	case l.stopping:
		m.admission.leave()
		l.finish(c, nil)
	case m.err != nil: // cannot be: nothing else gives it up
		l.finish(c, &CrashError{Class: process.ClassResources, Phase: PhaseStart, Cause: m.err})
	default:
		l.start(c, m.admission)
	}
}

// start starts the process.
func (l *loop) start(c *actor.Context[message], room *admission) {
	l.admission = room
	l.after(c, startDeadline, l.options.StartTimeout)
	spec := l.session.launch(l.record)
	spec.Marker = unmistakable(spec.Marker)
	l.resumed = spec.Resume || spec.ResumeFrom != "" || spec.Continue || spec.FromPR != ""
	l.joining = l.resumed && !spec.Resume
	options, session := l.options, l.session
	alive := &l.session.alive
	alive.enter()
	l.listenTo(heardStderr(l.desk, l.record.Generation, l.options.Stderr, l.log))
	ear, owner := l.ear, l.owner
	c.Go("start CLI", func(ctx context.Context) message {
		bounded, cancel := context.WithTimeout(ctx, options.StartTimeout)
		defer cancel()
		release := func() {}
		spec, err := spec.Settled()
		if err == nil {
			err = options.prepare(&spec)
		}
		if enter := session.spec.Enter; err == nil && enter != nil {
			err = enter()
		}
		if err == nil {
			release, err = session.provide(bounded, options, &spec, owner)
		}
		if err != nil {
			alive.leave()
			return launched{err: err}
		}
		var with command
		p, err := process.Start(spec, process.Options{
			OnStderr: func(line string) { (*ear.Load())(line) }, Ledger: session.spec.Ledger, AtEnd: release,
			OnCommand: func(args, env []string) { with = command{args, env} },
			OnStrays:  func(r process.SweepReport) { owner.Load().strays(r) },
		})
		if err != nil {
			release()
			alive.leave()
			room.leave()
			return launched{err: err}
		}
		room.taken()
		go func() { // ends with the process
			<-p.Done()
			alive.leave()
			room.leave()
		}()
		if ctx.Err() != nil { // the actor has ended meanwhile, and will not take it
			p.Kill()
			return launched{err: context.Cause(ctx)}
		}
		// However the actor ends, its process ends with it: the context is cancelled when it is killed, and
		// when it ends in a panic.
		unwatch := context.AfterFunc(ctx, func() { p.Kill() })
		return launched{process: p, unwatch: unwatch, program: identify(ctx, session, spec), command: with, spec: spec}
	})
}

// launches counts the processes that this program has started for sessions.
var launches atomic.Uint64

// unmistakable makes a marker that of one process alone. A session that was removed and made anew has the same generations once more, and an
// incarnation may start a second process: a last sweep after the one before, that comes late, must not end it.
func unmistakable(marker string) string { return fmt.Sprintf("%s-%d", marker, launches.Add(1)) }

// identify says which program was started, while that comes up.
func identify(ctx context.Context, s *Session, spec process.Launch) process.Identity {
	if s.spec.Audit == nil {
		return process.Identity{}
	}
	id, err := process.Identify(ctx, spec)
	if err != nil {
		s.spec.Logger.Warn().Str("session", s.name).Err(err).Msg("the CLI's version is not known")
	}
	return id
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
	l.session.owe(0) // the process before may have had no time to say what became of its turn
	l.desk.mu.Lock()
	l.desk.stderr = p.Stderr
	l.desk.mu.Unlock()
	l.desk.update(func(r *record, info *Info) {
		r.Ledger = l.record.Ledger
		info.PID, info.StartedAt, info.Containment = p.PID(), p.StartedAt(), p.Containment()
	})
	l.tellStarted(p)
	self := c.Self()
	most := l.options.MaxLineBytes
	c.Go("read CLI", func(ctx context.Context) message { return read(ctx, self, p, m.spec, most) })
	outbox := make(chan []byte, 256)
	l.outbox = outbox
	c.Go("write CLI", func(ctx context.Context) message { return write(ctx, outbox, p) })
	l.program, l.command = m.program, m.command
	l.auditStarted(m.program)
	if !l.session.spec.waiting {
		l.command = command{} // a session that takes it records it again
	}
	switch {
	case l.finished: // too late: it was given up
		l.stopLadder(c, process.Ladder{Stdin: -1, Term: -1})
	case l.stopping:
		l.endProcess(c)
	default:
		l.initialize(c, m.spec)
	}
}

// initialize sends the handshake. No prompt is sent before it is answered, so that no tool runs before
// the hooks are in place.
func (l *loop) initialize(c *actor.Context[message], spec process.Launch) {
	body, err := l.options.handshake(spec)
	if err != nil {
		l.abort(c, fmt.Errorf("handshake: %w", err))
		return
	}
	// startDeadline bounds it, and says more: it must be the first of the two also on a busy machine.
	l.request(c, body, 2*l.options.StartTimeout, func(c *actor.Context[message], r *protocol.ControlResponse, err error) {
		if err == nil {
			err = r.Err()
		}
		var answer *protocol.InitializeResponse
		if err == nil {
			answer, err = r.Initialize()
		}
		var warning string
		if err == nil {
			if warning, err = checkVersion(answer.ClaudeCodeVersion); warning != "" {
				l.log.Warn().Msg(warning)
			}
		}
		switch {
		case err != nil:
			l.abort(c, fmt.Errorf("handshake: %w", err))
		case answer.HooksApplied == nil || !*answer.HooksApplied:
			// It would go on without them, and tools would run unseen.
			l.abort(c, errors.New("handshake: the CLI did not apply the hooks that tools are audited by; its version may be too old"))
		case body.MCPServers != nil && (answer.MCPServersApplied == nil || !*answer.MCPServersApplied):
			l.abort(c, errors.New("handshake: the CLI did not take the MCP servers of the session; its version may be too old"))
		case l.joining:
			l.baseline(c, func(c *actor.Context[message]) { l.changeAgain(c, answer) })
		default:
			l.changeAgain(c, answer)
		}
	})
}

// changeAgain tells the process what was changed at run time. It serves when all of that is answered; what it refuses now is
// logged, and does not keep the session from serving.
func (l *loop) changeAgain(c *actor.Context[message], started *protocol.InitializeResponse) {
	kept, _ := l.desk.snapshot()
	left := l.session.again(kept)
	var next func(c *actor.Context[message])
	next = func(c *actor.Context[message]) {
		if l.process == nil || l.cause != nil {
			return // it ended meanwhile, and that is reported
		}
		if len(left) == 0 {
			l.becomeReady(c, started)
			return
		}
		body := left[0]
		left = left[1:]
		l.request(c, body, l.options.ControlTimeout, func(c *actor.Context[message], r *protocol.ControlResponse, err error) {
			if err == nil {
				err = r.Err()
			}
			if err != nil {
				l.log.Warn().Err(err).Str("request", body.RequestSubtype()).Msg("what was changed at run time cannot be changed again")
			}
			next(c)
		})
	}
	next(c)
}

// baseline asks what the conversation has cost before it became the session's: the CLI's total goes on from there, and
// that money is not the session's.
func (l *loop) baseline(c *actor.Context[message], then func(*actor.Context[message])) {
	l.request(c, &protocol.GetUsage{}, l.options.ControlTimeout, func(c *actor.Context[message], r *protocol.ControlResponse, err error) {
		var usage *protocol.UsageResponse
		if err == nil {
			usage, err = r.Usage()
		}
		switch {
		case l.process == nil: // it ended meanwhile, and that is reported
			return
		case err != nil:
			l.log.Warn().Err(err).Msg("what the conversation has cost so far is not known: it counts as the session's")
		default:
			l.record.Ledger.Last = usage.Session.TotalCostUSD
		}
		then(c)
	})
}

func (l *loop) becomeReady(c *actor.Context[message], answer *protocol.InitializeResponse) {
	l.ready = true
	l.desk.update(func(*record, *Info) { l.desk.started = answer })
	l.admission.ready()
	l.cancel(startDeadline)
	l.desk.update(func(_ *record, info *Info) {
		info.State, info.Version = Idle, answer.ClaudeCodeVersion
		if answer.CurrentPermissionMode != "" {
			info.Mode = string(answer.CurrentPermissionMode)
		}
	})
	l.log.Info().Int("pid", l.process.PID()).Str("cli", answer.ClaudeCodeVersion).Bool("resumed", l.resumed).Msg("session ready")
	l.tell(Moment{Kind: ProcessReady, PID: l.process.PID(), Detail: "CLI " + answer.ClaudeCodeVersion})
	l.audit(audit.Record{Kind: audit.SessionReady, Detail: map[string]any{"cli_version": answer.ClaudeCodeVersion, "resumed": l.resumed}})
	for _, reply := range l.waiting {
		reply.Send(struct{}{})
	}
	l.waiting = nil
	if l.session.spec.waiting {
		l.waitForSession(c)
		return
	}
	for _, waiting := range l.controls {
		l.onControl(c, waiting)
	}
	l.controls = nil
	l.pump(c)
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
	kind := NoticeConversationLost
	switch {
	case class != process.ClassNoConversation && class != process.ClassSessionInUse:
		return false
	case l.joining && class == process.ClassNoConversation:
		return false // a new one is not what the options ask for
	case l.joining: // the copy was made already, and that was not noted down
		begun, what, kind = true, "copied before: resumed", NoticeConversationFound
	case l.retried:
		l.renamed = true
		id, what = uuid.NewString(), "unusable: a new one under another id"
	case class == process.ClassNoConversation && l.resumed:
		what = "lost: a new one under the same id"
	case class == process.ClassSessionInUse && !l.resumed:
		begun, what, kind = true, "exists: resumed", NoticeConversationFound
	default:
		return false
	}
	l.retried = true
	l.cancel(startDeadline) // the next one may have to wait for room
	l.session.notice(kind, "conversation "+what, map[string]any{"conversation": what, "next_session_id": id})
	for id := range l.requests { // the handshake that will not be answered
		l.settle(id)
	}
	l.desk.update(func(r *record, info *Info) {
		r.Begun, r.SessionID, info.SessionID = begun, id, id
		r.Joined = r.Joined || l.joining
		l.record = *r
	})
	l.keeper.save(c, l, func(c *actor.Context[message]) { l.launch(c) })
	return true
}

package session

import (
	"context"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/process"
)

// Exiting ends the session in order: the running turn is interrupted, then the process goes down the
// ladder. The supervisor's deadline (Options.Shutdown) is over all of it.
func (l *loop) Exiting(c *actor.Context[message], _ error) {
	l.stopping = true
	l.desk.update(func(_ *record, info *Info) { info.State = Draining })
	switch {
	case l.asleep:
		l.finish(c, nil)
	case l.unadmit != nil: // onAdmitted goes on
		l.unadmit()
	case l.process == nil: // it is being started: launch or onLaunched goes on
	case l.current != nil || l.turns.open:
		l.interrupting = true
		l.after(c, drainDeadline, l.grace()/4)
		// An interrupt ends the tool, and what that has started would lose its parents unseen.
		p := l.process
		c.Go("note descendants", func(context.Context) message {
			p.Observe()
			return observed{}
		})
	default:
		l.endProcess(c)
	}
}

// grace is how long the session may take to end, as far as its own steps go.
func (l *loop) grace() time.Duration {
	d, limited := l.options.Shutdown.Grace()
	if !limited || d == 0 {
		return time.Minute
	}
	return d
}

// endProcess sends the process down the ladder: end of stdin, SIGTERM, SIGKILL, sweep.
func (l *loop) endProcess(c *actor.Context[message]) {
	l.cancel(drainDeadline)
	l.stopLadder(c, l.ladder())
}

// ladder is how the process is ended in order. When its stdin has ended an idle CLI saves its state and leaves within some 50 ms;
// should its disk be slow, it has what the steps after this one leave of the session's time, 3 s at most. One with background work would
// wait for that, and one whose turn was interrupted has had some of the time.
func (l *loop) ladder() process.Ladder {
	grace := l.grace()
	stdin := min(grace/2, 3*time.Second)
	if l.interrupting || l.background > 0 {
		stdin = min(grace/4, 2*time.Second)
	}
	return process.Ladder{Stdin: stdin, Term: min(grace/4, 3*time.Second), Kill: time.Second}
}

func (l *loop) stopLadder(c *actor.Context[message], ladder process.Ladder) {
	p := l.process
	if p == nil || l.laddered {
		return
	}
	l.laddered = true
	c.Go("stop CLI", func(ctx context.Context) message {
		report := p.Stop(ctx, ladder)
		if report.Err != nil {
			l.log.Error().Err(report.Err).Msg("could not end everything that the CLI started")
		}
		return processGone{}
	})
}

// strays is told what was ended that a process of the session had somebody else start.
func (s *Session) strays(r process.SweepReport) {
	log := s.spec.Logger.With().Str("session", s.name).Logger()
	if len(r.Killed) > 0 {
		log.Warn().Int("killed", len(r.Killed)).Str("first", r.Killed[0].Command).Msg("ended what the CLI had others start")
	}
	if r.Err != nil {
		log.Error().Err(r.Err).Msg("could not end everything that the CLI had others start")
	}
}

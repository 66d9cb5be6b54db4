package process

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// Ladder says how a process is made to end: each step, and how long it is given before the next. Zero durations are
// those of DefaultLadder; a negative one leaves the step out.
type Ladder struct {
	// Stdin is how long the CLI has to end after its stdin was closed. It finishes its turn, which can take long.
	// (The politer interrupt frame comes before: that is the session's to send.)
	Stdin time.Duration
	// Term is how long it has after SIGTERM to its process group. It ends its tools; in a sandbox that takes 1.6 s.
	Term time.Duration
	// Kill is how long it has to disappear after SIGKILL to its process group. This step can't be left out.
	Kill time.Duration
}

// DefaultLadder returns 2 s after closing stdin, 3 s after SIGTERM, 5 s after SIGKILL.
func DefaultLadder() Ladder {
	return Ladder{Stdin: 2 * time.Second, Term: 3 * time.Second, Kill: 5 * time.Second}
}

func (l Ladder) filled() Ladder {
	d := DefaultLadder()
	pick := func(v, def time.Duration) time.Duration {
		if v == 0 {
			return def
		}
		return max(v, 0)
	}
	return Ladder{Stdin: pick(l.Stdin, d.Stdin), Term: pick(l.Term, d.Term), Kill: max(pick(l.Kill, d.Kill), time.Second)}
}

// StopStep is a step of the ladder.
type StopStep string

const (
	// StepExited means that the process had ended before the stop.
	StepExited StopStep = "exited"
	// StepStdin is the closing of stdin.
	StepStdin StopStep = "stdin"
	// StepTerm is SIGTERM to the process group.
	StepTerm StopStep = "term"
	// StepKill is SIGKILL to the process group.
	StepKill StopStep = "kill"
)

// StepTime is how long a step lasted, until the process ended or the next step began.
type StepTime struct {
	Step StopStep
	Took time.Duration
}

// StepStart is when a stop came to a step.
type StepStart struct {
	Step  StopStep
	After time.Duration // from the first call of Stop
}

// StopReport is what a stop did.
type StopReport struct {
	Ended StopStep      // the step that ended the process, or the last one tried
	Steps []StepTime    // the steps taken, in order
	Took  time.Duration // from the first call of Stop to the end, the sweep included
	Exit  Exit          // how the process ended
	Swept SweepReport   // which of its descendants had to be killed
	Err   error         // the process outlived SIGKILL, or descendants outlived the sweep
}

// stopping is the state of a ladder that runs. It is guarded by Process.mu, except for the channels.
type stopping struct {
	began               time.Time
	termAt, killAt, end time.Time // when SIGTERM and SIGKILL are due, and when to give up
	skipTerm            bool
	changed             chan struct{} // holds one token when a time was brought forward
	report              StopReport
	steps               []StepStart // the steps so far
	finished            chan struct{}
}

// Stop ends the process and everything it started: it closes stdin, sends SIGTERM, then SIGKILL, each step with its
// time, and sweeps. It returns when that is done, at the latest after the ladder's times and the sweep's.
//
// Callers at the same time share one ladder: each may only shorten it. When ctx ends, the ladder goes to SIGKILL at
// once; Stop still waits for the outcome. On a process that has ended, Stop sweeps once more.
func (p *Process) Stop(ctx context.Context, l Ladder) StopReport {
	select {
	case <-p.done:
		return p.afterDone()
	default:
	}
	skipStdin, skipTerm := l.Stdin < 0, l.Term < 0
	l = l.filled()
	now := time.Now()
	p.mu.Lock()
	s := p.stop
	termAt := now.Add(l.Stdin)
	if skipStdin {
		termAt = now
	}
	killAt := termAt.Add(l.Term)
	if s == nil {
		s = &stopping{
			began: now, termAt: termAt, killAt: killAt, end: killAt.Add(l.Kill), skipTerm: skipTerm,
			changed: make(chan struct{}, 1), finished: make(chan struct{}),
		}
		p.stop = s
		// Ends when the process has ended and was swept, or when SIGKILL did not end it in time.
		go p.descend(s, skipStdin)
	} else {
		s.shorten(termAt, killAt, killAt.Add(l.Kill))
	}
	p.mu.Unlock()

	select {
	case <-s.finished:
		return s.report
	case <-ctx.Done():
	}
	now = time.Now()
	p.mu.Lock()
	s.shorten(now, now, now.Add(l.Kill))
	s.skipTerm = true
	p.mu.Unlock()
	<-s.finished
	return s.report
}

// Kill is Stop with nothing but SIGKILL and the sweep.
func (p *Process) Kill() StopReport {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // brings a ladder that runs to SIGKILL, too
	return p.Stop(ctx, Ladder{Stdin: -1, Term: -1})
}

// Steps are those that the ladder has come to, in order, the last being the one that ended the process if it has ended; none if nobody
// stops it.
func (p *Process) Steps() []StepStart {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop == nil {
		return nil
	}
	return slices.Clone(p.stop.steps)
}

// afterDone is a stop of a process that has ended: what it left may have come to light since.
func (p *Process) afterDone() StopReport {
	began := time.Now()
	r := StopReport{Ended: StepExited, Exit: p.Exit(), Swept: p.sweep(p.opts.SweepTimeout)}
	r.Err = r.Swept.Err
	r.Took = time.Since(began)
	return r
}

func (s *stopping) shorten(term, kill, end time.Time) {
	earlier := func(t *time.Time, other time.Time) {
		if other.Before(*t) {
			*t = other
		}
	}
	earlier(&s.termAt, term)
	earlier(&s.killAt, kill)
	earlier(&s.end, end)
	select {
	case s.changed <- struct{}{}:
	default: // a token is there already
	}
}

// delay moves the later steps by what SIGTERM came late (on a loaded machine), so that the CLI has its time after
// it. A stop that was cancelled meanwhile stays so.
func (s *stopping) delay(p *Process, late time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if late > 0 && !s.skipTerm {
		s.killAt, s.end = s.killAt.Add(late), s.end.Add(late)
	}
}

// descend goes down the ladder.
func (p *Process) descend(s *stopping, skipStdin bool) {
	step, since := StepExited, s.began
	enter := func(next StopStep) {
		now := time.Now()
		if step != StepExited {
			s.report.Steps = append(s.report.Steps, StepTime{step, now.Sub(since)})
		}
		step, since = next, now
		if next != StepExited {
			p.mu.Lock()
			s.steps = append(s.steps, StepStart{next, now.Sub(s.began)})
			p.mu.Unlock()
		}
	}
	// Before each step the descendants are listed: once the CLI is gone nobody knows who its grandchildren were.
	p.record()
	gone := p.isDead()
	if !skipStdin && !gone {
		enter(StepStdin)
		p.CloseStdin()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	termSent, killSent := false, false
	for !gone {
		p.mu.Lock()
		termAt, killAt, end, skipTerm := s.termAt, s.killAt, s.end, s.skipTerm
		p.mu.Unlock()
		now := time.Now()
		next := termAt
		switch {
		case p.isDead():
			gone = true
			continue
		case killSent:
			next = end
		case !termSent && !skipTerm:
			if !now.Before(termAt) {
				p.record()
				enter(StepTerm)
				p.signal(syscall.SIGTERM)
				termSent = true
				s.delay(p, time.Since(termAt))
				continue
			}
		case !now.Before(killAt):
			p.record()
			enter(StepKill)
			p.CloseStdin()
			p.signal(syscall.SIGKILL)
			killSent = true
			p.mu.Lock()
			s.end = s.end.Add(max(time.Since(s.killAt), 0)) // it has its time from now on
			p.mu.Unlock()
			continue
		default:
			next = killAt
		}
		if killSent && !now.Before(end) {
			break
		}
		timer.Reset(time.Until(next))
		select {
		case <-p.dead:
			gone = true
		case <-s.changed:
		case <-timer.C:
		}
	}
	last := step
	enter(StepExited)
	s.report.Ended = last
	if gone {
		<-p.done
		s.report.Exit, s.report.Swept = p.Exit(), p.Swept()
		s.report.Err = s.report.Swept.Err
	} else {
		// It hangs in the kernel. Its tools need not.
		s.report.Swept = p.sweep(p.opts.SweepTimeout)
		s.report.Err = fmt.Errorf("process %d is still there after SIGKILL; it hangs in the kernel (a dead network file system?)", p.pid)
	}
	s.report.Took = time.Since(s.began)
	close(s.finished)
	if !gone {
		p.mu.Lock()
		p.stop = nil // the next Stop tries again
		p.mu.Unlock()
	}
}

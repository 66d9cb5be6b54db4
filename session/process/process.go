package process

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Process is one running CLI. Its methods may be called from any goroutine.
type Process struct {
	pid     int
	layers  []Layer
	recipe  *recipe // nil: the CLI runs on this host
	marker  string
	started time.Time
	opts    Options
	child   child
	stdin   *inPipe
	stdout  *outPipe
	stderr  *stderrLog
	oomKill func() bool

	dead chan struct{} // closed when the exit is noticed and recorded
	done chan struct{} // closed when everything is released

	mu     sync.Mutex
	reaped bool // from here on the pid may belong to somebody else
	exit   Exit
	seen   descendants
	swept  SweepReport
	stop   *stopping

	offLedger bool // guarded by the ledger
}

// spawn makes the pipes, starts the child and the goroutines that hold it.
func spawn(path string, c command, o Options) (*Process, error) {
	awaitStrays(c.marker)
	var ours, theirs [3]*os.File
	closeAll := func(files []*os.File) {
		for _, f := range files {
			if f != nil {
				_ = f.Close() // nothing was written
			}
		}
	}
	for i := range ours {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(ours[:])
			closeAll(theirs[:])
			return nil, err
		}
		if i == 0 {
			ours[i], theirs[i] = w, r
		} else {
			ours[i], theirs[i] = r, w
		}
	}
	secret, err := secretPipe(c.secretFD)
	if err != nil {
		closeAll(ours[:])
		closeAll(theirs[:])
		return nil, err
	}
	if secret != nil {
		defer func() { _ = secret.Close() }() // the child has its copy, or will have none
	}
	var fds [3]uintptr
	for i, f := range theirs {
		fds[i] = f.Fd()
		// The child expects descriptors that block; Go makes both ends of a pipe such that don't.
		if err := syscall.SetNonblock(int(fds[i]), false); err != nil {
			closeAll(ours[:])
			closeAll(theirs[:])
			return nil, err
		}
	}
	p := &Process{
		marker: c.marker, opts: o, recipe: c.recipe,
		stdin: &inPipe{f: ours[0]}, stdout: &outPipe{f: ours[1]},
		stderr:  newStderrLog(o, c.secrets),
		oomKill: watchOOM(),
		dead:    make(chan struct{}), done: make(chan struct{}),
		started: time.Now(),
	}
	argv := append([]string{path}, c.args...)
	files := fds[:]
	if secret != nil {
		files = append(files, secret.Fd()) // keyDescriptor
	}
	// The thread that forks does not see where this program changes to.
	dir := c.dir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	err = p.child.start(path, argv, &syscall.ProcAttr{Dir: dir, Env: c.env, Files: files}, c.hold)
	closeAll(theirs[:])
	if err != nil {
		closeAll(ours[:])
		p.stderr.end()
		return nil, err
	}
	p.pid, p.layers = p.child.cli, c.hold.layers
	p.noteBirth()
	if inGroup := p.child.watchOOM(); inGroup != nil {
		p.oomKill = inGroup // of this session alone
	}
	track(p)
	errPipe := &outPipe{f: ours[2]}
	errEnd := make(chan struct{})
	// Ends at the end of stderr, at the latest OutputGrace after the exit.
	go func() {
		defer close(errEnd)
		p.stderr.read(errPipe)
	}()
	// Ends when the process has ended and its descendants were swept.
	go p.hold(errPipe, errEnd)
	return p, nil
}

// hold waits for the exit and cleans up after it.
func (p *Process) hold(errPipe *outPipe, errEnd <-chan struct{}) {
	p.child.wait() // it is a zombie now: pid and group still belong to it
	at := time.Now()
	p.mu.Lock()
	p.child.signalGroup(syscall.SIGKILL) // helpers that stayed in the group; nothing else can be in it
	code, sig := p.child.reap()
	p.reaped = true
	stopped := p.stop != nil
	p.mu.Unlock()

	p.stdin.exited()
	p.stdout.exited(p.opts.OutputGrace)
	errPipe.exited(p.opts.OutputGrace)

	p.mu.Lock()
	p.exit = Exit{Code: code, Signal: sig, At: at, Stopped: stopped}
	p.exit.OutOfMemory = sig == syscall.SIGKILL && !stopped && p.oomKill()
	p.mu.Unlock()
	close(p.dead)

	launchErr := p.recipe.end(p.opts.Ledger)
	groupErr := p.child.endGroup(p.opts.SweepTimeout)
	p.settleAdopted() // who was adopted at the exit is known now
	var report SweepReport
	if p.sealed() {
		p.lookForStrays()
	} else {
		report = p.sweep(p.opts.SweepTimeout)
	}
	report.Err = errors.Join(report.Err, groupErr, launchErr)
	p.settleAdopted() // and those that ended in between are reaped
	<-errEnd
	p.mu.Lock()
	p.exit.Stderr = p.stderr.last()
	p.swept = report
	p.mu.Unlock()
	untrack(p)
	p.noteEnd()
	p.child.release()
	if p.opts.AtEnd != nil {
		p.opts.AtEnd()
	}
	close(p.done)
}

// Stdin is what the CLI reads. Write blocks while the CLI does not read; it returns an error that is ErrExited
// once the CLI has ended, and os.ErrClosed after CloseStdin or a Stop. Concurrent writes don't mix.
func (p *Process) Stdin() io.WriteCloser { return p.stdin }

// CloseStdin lets the CLI finish its turn and its background work, and end. It may be called more than once.
func (p *Process) CloseStdin() { _ = p.stdin.Close() } // a close that fails has closed as well

// Stdout is what the CLI writes. It comes to io.EOF by itself after the exit, at the latest Options.OutputGrace after
// it even if a descendant holds the pipe; what the CLI wrote before is delivered first. It is to be read by one
// goroutine, to the end, or closed.
func (p *Process) Stdout() io.ReadCloser { return p.stdout }

// Stderr returns the last lines of stderr, oldest first, cut to Options.StderrLineBytes, the API key redacted.
func (p *Process) Stderr() []string { return p.stderr.last() }

// PID is the process id. It may belong to another process once Done is closed.
func (p *Process) PID() int { return p.pid }

// Containment are the layers that hold what the CLI starts, weakest first.
func (p *Process) Containment() []Layer { return slices.Clone(p.layers) }

// StartedAt is when the process was started.
func (p *Process) StartedAt() time.Time { return p.started }

// Observe notes what descends from the CLI now, so that the sweep at its end finds those too that will have
// left their session, cleared their environment and lost their parents by then. Stop does so before each of
// its steps; this is for what else may end a tool, such as an interrupt. It reads the process table, which
// takes a millisecond or some.
func (p *Process) Observe() { p.record() }

// Done is closed when the process has ended, its exit is recorded and its descendants have been swept: whoever
// starts the next generation after Done has no tool of this one running beside it. Between the exit and Done
// lie some milliseconds, at most Options.OutputGrace while a descendant that could not be found holds stderr, and at
// most Options.SweepTimeout when something can't be killed.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit returns how the process ended, or the zero Exit as long as Done is not closed.
func (p *Process) Exit() Exit {
	select {
	case <-p.done:
	default:
		return Exit{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// Swept returns what the sweep after the exit found, or the zero report as long as Done is not closed.
func (p *Process) Swept() SweepReport {
	select {
	case <-p.done:
	default:
		return SweepReport{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.swept
}

// signal sends to the process group, or does nothing if the process has been reaped.
func (p *Process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	switch {
	case sig == syscall.SIGKILL || p.recipe == nil:
	case p.recipe.elsewhere():
		if p.recipe.Kind != LaunchCommand {
			go p.recipe.term() // ends with the engine's answer, or its time-out
			return
		}
	case p.recipe.Kind == LaunchBwrap:
		p.signalInside(sig)
		return
	}
	p.child.signalGroup(sig)
}

// sealed reports whether the kernel itself ends all that descends from p: nothing leaves a pid namespace, and its first process is not
// reported to have ended before all others in there have. Then nobody has to keep an eye on who descends from whom. (The sweep
// by marker is for what a tool has had somebody else start, such as a container engine.)
func (p *Process) sealed() bool { return p.child.sealed() && !p.recipe.elsewhere() }

func (p *Process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

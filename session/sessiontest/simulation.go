package sessiontest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// Exit codes of a simulation, besides 0, 1 for an error, and what [[exit:N]] says.
const (
	ExitKilled     = 137 // [[crash]]; a process of its own kills itself with SIGKILL instead
	ExitTerminated = 143 // SIGTERM
	ExitHangup     = 129 // SIGHUP
)

// Simulate runs the simulated CLI inside this process: args without the program name, streams as the CLI has them, env for
// what the CLI reads from its environment (os.Getenv, or a function of the test). It returns the exit code.
//
// A simulation that crashes returns [ExitKilled] and leaves its tools running, as a killed CLI would; any other end stops
// them. It returns at the end of stdin, once the turn at work is finished; nothing else ends a silent or hanging one.
func Simulate(args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	return run(args, stdin, stdout, stderr, env, nil)
}

// run is Simulate with the signals of a process of its own.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string, signals <-chan os.Signal) int {
	s := &simulation{
		env: env, stderr: stderr, out: newOutbox(stdout), signals: signals,
		lines: make(chan []byte), events: make(chan func()), done: make(chan struct{}),
		requests: map[string]*request{}, shells: map[*shell]bool{}, answered: map[string]bool{},
	}
	finished := make(chan struct{})
	go func() { // the owner of all state; ends with the simulation
		defer close(finished)
		s.live(args, stdin)
	}()
	<-finished
	close(s.done)
	s.abandonStrands()
	if s.code == ExitKilled {
		s.out.flush(0)
	} else {
		s.out.flush(flushPatience)
		s.stopShells()
		s.hangUp()
		s.waiting.Wait()
	}
	s.out.close()
	return s.code
}

// flushPatience bounds the wait for a reader that does not read.
const flushPatience = 10 * time.Second

// frame is a line of the protocol.
type frame map[string]any

// simulation is one simulated CLI process. All of it belongs to one goroutine; what happens elsewhere comes in as a line, a
// signal or a function to run.
type simulation struct {
	inv     invocation
	env     func(string) string
	dir     string
	stderr  io.Writer
	out     *outbox
	signals <-chan os.Signal
	lines   chan []byte
	pushed  []byte // a line that was read ahead
	events  chan func()
	done    chan struct{} // closed when nobody owns the state any more
	eof     bool
	linger  bool   // the end of stdin does not end the process
	flush   string // how long it takes to save what it has, behind the end of stdin: a duration, or a named pipe
	code    int

	transcript  *transcript
	model       string
	mode        string
	hooks       map[string][]hookMatcher
	requests    map[string]*request // our unanswered questions to the host
	servers     []*mcpServer        // in the host
	policies    map[string]string   // of their tools, by the name that the model uses
	rpcs        int                 // calls to them, so far
	suggesting  bool                // what the user may say next
	queue       []work
	turn        *turn // nil between turns
	running     bool  // as session_state_changed says
	ready       bool  // initialize was answered
	answered    map[string]bool
	shells      map[*shell]bool
	waiting     sync.WaitGroup       // for the goroutines of shells
	tasks       []*task              // in the background
	strands     []*strand            // work beside that of the main conversation
	strand      *strand              // the one that runs; nil for the main conversation
	agents      []*agent             // at work
	agentKinds  map[string]agentKind // those of initialize
	agentStats  agentStats
	forward     bool    // the text of subagents, too
	spent       float64 // by this process
	baseline    float64 // by those before it
	calls       map[string]int
	sinceResult map[string]int
	results     int
	stops       int // answers that were refused
	apiTime     time.Duration
	lastError   bool
}

// work is what a turn can be about: prompts, or a background task that ended.
type work struct {
	prompt prompt
	task   *task
}

// prompt is a user line.
type prompt struct {
	id   string
	text string
}

// exit ends the simulation from wherever it stands, as os.Exit would a process: its deferred calls run, nothing after it does.
func (s *simulation) exit(code int) {
	s.code = code
	runtime.Goexit()
}

// fail is exit with a text on stderr.
func (s *simulation) fail(format string, args ...any) {
	_, _ = fmt.Fprintf(s.stderr, format+"\n", args...) // nobody is told when stderr is gone
	s.exit(1)
}

func (s *simulation) live(args []string, stdin io.Reader) {
	s.startup(stdin)
	inv, err := parseArguments(args)
	if err != nil {
		s.fail("%v", err)
	}
	if inv.version {
		s.out.put([]byte(version + " (Claude Code)\n"))
		s.exit(0)
	}
	if inv.permissionMode == "bypassPermissions" && os.Geteuid() == 0 && s.env("IS_SANDBOX") == "" {
		s.fail("--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons")
	}
	for _, w := range inv.warnings {
		_, _ = fmt.Fprintln(s.stderr, w) // as above
	}
	s.inv, s.mode, s.forward = inv, inv.permissionMode, inv.forward
	if s.dir, err = os.Getwd(); err != nil {
		s.fail("Error: the working directory is gone: %v", err)
	}
	s.open()
	go s.read(stdin) // ends at the end of stdin, or with the simulation and the line after it
	s.spontaneous()
	for {
		switch {
		case len(s.queue) > 0:
			s.next()
		case s.pushed != nil:
			s.pump()
			s.wake()
		case s.running && !slices.ContainsFunc(s.tasks, (*task).ofAgent): // whose end begins a turn
			s.state("idle")
		case s.eof && s.pushed == nil && len(s.tasks) == 0 && !s.linger:
			s.flushing()
			s.save()
			if s.lastError {
				s.exit(1)
			}
			s.exit(0)
		default:
			s.pump()
			s.wake()
		}
	}
}

// open finds the conversation.
func (s *simulation) open() {
	t, err := openTranscript(s.inv, s.env, s.dir)
	if usage, ok := err.(usageError); ok {
		s.fail("%v", usage)
	}
	if err != nil {
		id := s.inv.resume
		s.emit(frame{
			"type": "result", "subtype": "error_during_execution", "duration_ms": 0, "duration_api_ms": 0, "is_error": true,
			"num_turns": 0, "stop_reason": nil, "session_id": id, "total_cost_usd": 0, "usage": turnUsage(0), "modelUsage": frame{},
			"permission_denials": []any{}, "uuid": uuid.NewString(), "errors": []string{err.Error()}, "result_index": 0,
		})
		s.fail("%v", err)
	}
	s.transcript, s.baseline = t, t.cost
	for id, done := range t.recorded {
		if done {
			s.answered[id] = false // answered by an earlier process
		}
	}
	name := s.inv.model
	if name == "" {
		name = t.model
	}
	s.model = resolveModel(name)
	s.calls, s.sinceResult = map[string]int{}, map[string]int{}
}

// save is the part of a clean end that a later process sees.
func (s *simulation) save() {
	if s.transcript == nil {
		return // still starting
	}
	if err := s.transcript.saveCost(s.baseline + s.spent); err != nil {
		_, _ = fmt.Fprintln(s.stderr, "Error: save cost:", err) // the conversation itself is there
	}
}

// flushing takes its time, if it was told to. A signal cuts it short.
func (s *simulation) flushing() {
	if s.flush == "" {
		return
	}
	if d, ok := parseDuration(s.flush); ok {
		s.wait(d)
		return
	}
	over := false
	go func() { // ends when whoever has the other end of the pipe closes it
		_, _ = os.ReadFile(s.flush) // the wait is all that matters
		s.post(func() { over = true })
	}()
	s.await(func() bool { return over })
}

// read passes the lines of stdin on. The CLI has no limit that a host would reach, and neither has the simulation.
func (s *simulation) read(stdin io.Reader) {
	defer close(s.lines)
	reader := bufio.NewReaderSize(stdin, 64<<10)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			select {
			case s.lines <- line:
			case <-s.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// post has a function run by the owner. It reports false when the simulation is over and nobody will.
func (s *simulation) post(f func()) bool {
	select {
	case s.events <- f:
		return true
	case <-s.done:
		return false
	}
}

// after has a function run by the owner after a while, unless it is stopped before.
func (s *simulation) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { s.post(f) })
}

// pump takes one thing that happened.
func (s *simulation) pump() {
	if line := s.pushed; line != nil {
		s.pushed = nil
		s.receive(line)
		return
	}
	lines := s.lines
	if s.eof {
		lines = nil
	}
	select {
	case line, open := <-lines:
		if !open {
			s.endOfInput()
			return
		}
		s.receive(line)
	case f := <-s.events:
		f()
	case sig := <-s.signals:
		s.signalled(sig)
	}
}

// await lets things happen until something is so. It reports false when the turn was interrupted first.
func (s *simulation) await(so func() bool) bool {
	for !so() {
		switch {
		case s.turn != nil && s.turn.interrupted:
			return false
		case s.strand != nil:
			s.strand.pause(so)
		case !s.wake():
			s.pump()
		}
	}
	return s.turn == nil || !s.turn.interrupted
}

// wait lets time pass; it reports false when the turn was interrupted meanwhile.
func (s *simulation) wait(d time.Duration) bool {
	over := false
	timer := s.after(d, func() { over = true })
	defer timer.Stop()
	return s.await(func() bool { return over })
}

// endOfInput is the polite stop: no question will be answered any more, the work at hand is finished.
func (s *simulation) endOfInput() {
	s.eof = true
	for _, r := range s.requests {
		r.closed = true
		if r.then != nil {
			r.then()
		}
	}
	s.requests = map[string]*request{}
}

func (s *simulation) signalled(sig os.Signal) {
	switch sig {
	case syscall.SIGINT:
		s.save()
		s.exit(0)
	case syscall.SIGHUP:
		s.save()
		s.exit(ExitHangup)
	default:
		s.save()
		s.exit(ExitTerminated)
	}
}

// emit writes a frame.
func (s *simulation) emit(f frame) {
	line, err := json.Marshal(f)
	if err != nil {
		s.fail("Error: encode frame: %v", err) // our own frames always encode
	}
	s.out.put(append(line, '\n'))
}

// say writes a frame that carries the session and an id of its own, which it returns.
func (s *simulation) say(f frame) string {
	id := uuid.NewString()
	f["session_id"], f["uuid"] = s.transcript.sessionID, id
	s.emit(f)
	return id
}

func (s *simulation) system(subtype string, f frame) {
	f["type"], f["subtype"] = "system", subtype
	s.say(f)
}

// state reports running and idle to a host that asked for it.
func (s *simulation) state(name string) {
	s.running = name == "running"
	if s.env("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS") == "1" {
		s.system("session_state_changed", frame{"state": name})
	}
}

func (s *simulation) lifecycle(id, state string) {
	if id != "" {
		s.say(frame{"type": "command_lifecycle", "command_uuid": id, "state": state})
	}
}

// crash ends the process as SIGKILL does, after what was written has gone out.
func (s *simulation) crash() {
	s.out.flush(time.Second)
	s.exit(ExitKilled)
}

package sessiontest

import (
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Variables that make a simulation misbehave, or look alive, whatever its prompts say.
const (
	startupVariable = "UNDERSTUDY_SIM_STARTUP"     // silent, garbage, exit:CODE, slow:DURATION
	crashVariable   = "UNDERSTUDY_SIM_CRASH_EVERY" // DURATION: dies of SIGKILL about this often
	workVariable    = "UNDERSTUDY_SIM_WORK_EVERY"  // DURATION: starts a turn by itself about this often
)

// startup is what happens before the first byte is read.
func (s *simulation) startup(stdin io.Reader) {
	how, arg, _ := strings.Cut(s.env(startupVariable), ":")
	switch how {
	case "slow":
		if d, ok := parseDuration(arg); ok {
			s.wait(d)
		}
	case "exit":
		code, _ := strconv.Atoi(arg)
		s.out.flush(time.Second)
		s.exit(code)
	case "garbage":
		s.out.put([]byte("Welcome!\n\x00\x01 this is no JSON {\n[1, 2\n"))
		s.silent(stdin)
	case "silent":
		s.silent(stdin)
	}
}

// silent is a process that never says a word. A process of its own goes on when stdin ends; inside another one nothing else
// could end it.
func (s *simulation) silent(stdin io.Reader) {
	if s.signals == nil {
		_, _ = io.Copy(io.Discard, stdin) // the end is all that matters
		s.exit(1)
	}
	for sig := range s.signals {
		s.signalled(sig)
	}
}

// about is a duration that is not the same each time: between half and one and a half of d.
func about(d time.Duration) time.Duration {
	return d/2 + rand.N(d+1)
}

// spontaneous arranges what happens without a prompt.
func (s *simulation) spontaneous() {
	if d, ok := parseDuration(s.env(crashVariable)); ok && d > 0 {
		s.after(about(d), func() { s.exit(ExitKilled) })
	}
	if d, ok := parseDuration(s.env(workVariable)); ok && d > 0 {
		s.after(about(d), func() { s.workNow(d) })
	}
}

// chores are turns as a background task might cause them. They only read.
var chores = []string{
	`[[sleep:300ms]] [[tool:Bash {"command":"ls -la"}]] [[sleep:400ms]] [[say:The working directory is as I left it.]]`,
	`[[sleep:200ms]] [[tool:Bash {"command":"date"}]] [[tool:Bash {"command":"uname -a"}]] [[sleep:600ms]] [[say:The nightly build machine answers.]]`,
	`[[sleep:500ms]] [[tool:Bash {"command":"find . -maxdepth 1 -name '*.go'"}]] [[sleep:500ms]] [[say:Looked for new files to review.]]`,
	`[[slow:2s]] [[say:The watcher that I left running has ended. Nothing in its output needs a change; I go on waiting for the next question.]]`,
}

// workNow starts a chore when the session is idle, and arranges the next.
func (s *simulation) workNow(every time.Duration) {
	s.after(about(every), func() { s.workNow(every) })
	if !s.ready || s.turn != nil || s.eof || len(s.queue) > 0 || s.overBudget() {
		return
	}
	t := s.newTask("", "watch the working directory")
	t.text = chores[rand.IntN(len(chores))]
	s.startTask(t)
	s.endTask(t, "completed", "completed (exit code 0)")
}

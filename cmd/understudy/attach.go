package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/supervisor/debug"
)

// againWithin is how soon a second Ctrl-C must come to detach.
const againWithin = 2 * time.Second

// maxPrompt is how long a line typed into attach may be, in bytes.
const maxPrompt = 8 << 20

func newAttach(at *place) *cobra.Command {
	return &cobra.Command{
		Use:   "attach NAME",
		Short: "Talk to a session; see what it says and does as it does it",
		Long: `Talks to a session: each line is a prompt. The text of its answers and the tools
it uses are shown as they come, also those of turns that somebody else, or the
CLI itself, has begun.

Ctrl-C interrupts the running turn; a second one within two seconds detaches.
Ctrl-D detaches when the answers to what was typed are there. The session goes
on in either case, over restarts of its process as well.

Text comes word by word if the session has include_partial_messages.`,
		Example: `  understudy attach reviewer
  echo "Review the last commit." | understudy attach reviewer`,
		Args:              takes("NAME"),
		SuggestFor:        []string{"talk", "chat", "connect", "console"},
		ValidArgsFunction: completeSession(at),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := at.client()
			return advised(cmd.Context(), client, args[0], attach(cmd, client, args[0]))
		},
	}
}

// attachment is one run of attach. Its fields are those of one goroutine; the others send it what they have.
type attachment struct {
	client *debug.Client
	name   string
	screen *conversation

	frames  chan framed
	lines   chan string // closed at the end of the input
	answers chan answered
	signals chan os.Signal

	asked     bool     // a prompt of ours is not answered
	typed     []string // prompts that come after it: at the same time they would overtake each other
	shown     string   // uuid of the result shown last
	ending    bool
	lastBreak time.Time
}

type framed struct {
	debug.Watched
	err error
}

// answered is the end of a prompt of ours.
type answered struct {
	result string // uuid of its result, empty if there was none
	err    error
}

func attach(cmd *cobra.Command, client *debug.Client, name string) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	a := &attachment{
		client: client, name: name, screen: newConversation(cmd.OutOrStdout(), name),
		frames: make(chan framed, 256), lines: make(chan string), answers: make(chan answered), signals: make(chan os.Signal, 4),
	}
	node, err := client.Session(ctx, name) // that there is one, before anything is typed
	if err != nil {
		return err
	}
	signal.Notify(a.signals, os.Interrupt)
	defer signal.Stop(a.signals)
	ready := make(chan struct{}, 1)
	go func() { // ends with ctx, or with the daemon
		for w, err := range client.Frames(ctx, name, func() { ready <- struct{}{} }) {
			select {
			case a.frames <- framed{w, err}:
			case <-ctx.Done():
				return
			}
		}
		close(a.frames)
	}()
	select {
	case <-ready:
	case f, open := <-a.frames:
		if !open {
			return fmt.Errorf("%s: the daemon says nothing", name)
		}
		return f.err
	}
	if node.State == "busy" {
		a.screen.begun()
	}
	a.screen.greet(node)
	go a.read(ctx, cmd.InOrStdin()) // ends with the input; until then nothing can end a read of a terminal
	return a.serve(ctx)
}

// read gives the lines of the input.
func (a *attachment) read(ctx context.Context, in io.Reader) {
	defer close(a.lines)
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 64<<10), maxPrompt)
	for scanner.Scan() {
		select {
		case a.lines <- scanner.Text():
		case <-ctx.Done():
			return
		}
	}
}

func (a *attachment) serve(ctx context.Context) error {
	lines, frames := a.lines, a.frames
	for {
		select {
		case f, open := <-frames:
			switch {
			case !open:
				return errors.New("the daemon has ended the connection")
			case f.err != nil:
				return f.err
			}
			if err := a.show(f.Watched); err != nil {
				return err
			}
		case line, open := <-lines:
			if !open {
				lines, a.ending = nil, true
				break
			}
			if strings.TrimSpace(line) == "" {
				a.screen.prompt()
				break
			}
			a.typed = append(a.typed, line)
		case end := <-a.answers:
			a.asked = false
			a.drain(end.result)
			if end.err != nil {
				a.screen.problem(end.err)
			}
		case <-a.signals:
			if a.interrupted(ctx) {
				a.screen.leave()
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !a.asked && len(a.typed) > 0 {
			a.ask(ctx, a.typed[0])
			a.typed = a.typed[1:]
		}
		if a.ending && !a.asked {
			a.screen.leave()
			return nil
		}
	}
}

// ask sends a prompt in the background. What comes of it is among the frames.
func (a *attachment) ask(ctx context.Context, prompt string) {
	a.asked = true
	go func() { // ends with the turn, or with ctx
		var end answered
		for frame, err := range a.client.Query(ctx, a.name, prompt) {
			if id := resultOf(frame); id != "" {
				end.result = id
			}
			end.err = err
		}
		if debug.CodeOf(end.err) == debug.ErrorResult {
			end.err = nil // the result says so itself
		}
		select {
		case a.answers <- end:
		case <-ctx.Done():
		}
	}()
}

// drain shows what is left of an answer, up to its result: frames come by another connection than the answer's
// end, which may be far ahead of them.
func (a *attachment) drain(result string) {
	if result == "" || result == a.shown {
		return
	}
	wait := time.NewTimer(2 * time.Second)
	defer wait.Stop()
	for {
		select {
		case f, open := <-a.frames:
			if !open || f.err != nil || a.show(f.Watched) != nil || a.shown == result {
				return
			}
		case <-wait.C:
			return // it was left out for a reader that is too slow
		}
	}
}

// show shows a frame, and remembers which result was the last.
func (a *attachment) show(w debug.Watched) error {
	if err := a.screen.show(w); err != nil {
		return err
	}
	if id := resultOf(w.Frame); id != "" {
		a.shown = id
	}
	return nil
}

// resultOf is the uuid of a frame that is a result, and empty for any other.
func resultOf(frame json.RawMessage) string {
	var f struct{ Type, UUID string }
	if json.Unmarshal(frame, &f) != nil || f.Type != "result" {
		return ""
	}
	return f.UUID
}

// interrupted handles Ctrl-C, and reports whether it means to detach.
func (a *attachment) interrupted(ctx context.Context) bool {
	again := time.Since(a.lastBreak) < againWithin
	a.lastBreak = time.Now()
	switch {
	case again:
		return true
	case a.screen.busy || a.asked:
		a.screen.note("interrupting; Ctrl-C again detaches")
		a.screen.interrupting = true // unless it has ended meanwhile, which its result says
		go func() {                  // ends when it is acknowledged
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			_ = a.client.Interrupt(ctx, a.name) // what the turn ends with says how it went
		}()
	default:
		a.screen.note("Ctrl-C again detaches")
		a.screen.prompt()
	}
	return false
}

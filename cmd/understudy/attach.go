package main

import (
	"bufio"
	"context"
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
	answers chan error  // the end of each prompt of ours
	signals chan os.Signal

	asked     int // prompts of ours that are not answered
	ending    bool
	lastBreak time.Time
}

type framed struct {
	debug.Watched
	err error
}

func attach(cmd *cobra.Command, client *debug.Client, name string) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	a := &attachment{
		client: client, name: name, screen: newConversation(cmd.OutOrStdout(), name),
		frames: make(chan framed, 256), lines: make(chan string), answers: make(chan error), signals: make(chan os.Signal, 4),
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
			if err := a.screen.show(f.Watched); err != nil {
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
			a.ask(ctx, line)
		case err := <-a.answers:
			a.asked--
			a.drain()
			if err != nil {
				a.screen.problem(err)
			}
		case <-a.signals:
			if a.interrupted(ctx) {
				a.screen.leave()
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if a.ending && a.asked == 0 {
			a.screen.leave()
			return nil
		}
	}
}

// ask sends a prompt in the background. What comes of it is among the frames.
func (a *attachment) ask(ctx context.Context, prompt string) {
	a.asked++
	go func() { // ends with the turn, or with ctx
		var last error
		for _, err := range a.client.Query(ctx, a.name, prompt) {
			last = err
		}
		if debug.CodeOf(last) == debug.ErrorResult {
			last = nil // the result says so itself
		}
		select {
		case a.answers <- last:
		case <-ctx.Done():
		}
	}()
}

// drain shows what has arrived already: the frames of an answer come by another connection than its end.
func (a *attachment) drain() {
	wait := time.NewTimer(300 * time.Millisecond)
	defer wait.Stop()
	for a.screen.busy {
		select {
		case f, open := <-a.frames:
			if !open || f.err != nil {
				return
			}
			if a.screen.show(f.Watched) != nil {
				return
			}
		case <-wait.C:
			return
		}
	}
}

// interrupted handles Ctrl-C, and reports whether it means to detach.
func (a *attachment) interrupted(ctx context.Context) bool {
	again := time.Since(a.lastBreak) < againWithin
	a.lastBreak = time.Now()
	switch {
	case again:
		return true
	case a.screen.busy || a.asked > 0:
		a.screen.note("interrupting; Ctrl-C again detaches")
		go func() { // ends when it is acknowledged
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/understudy-run/understudy/supervisor/debug"
)

func newTop(at *place) *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the sessions live, and act on them",
		Long: `Shows the sessions on the whole terminal, those in trouble first, and takes keys:

  j k, arrows   choose a session         Enter  its status
  /             filter                   a      attach to it
  z             faults only              i      interrupt its turn
  s S           next, previous order     r      restart it, after a question
  g G           first, last              x      stop it, after a question
  q, Ctrl-C     leave                    ?      the keys

Without a terminal use ps, tree, or tree --watch.`,
		Args:       takes(),
		SuggestFor: []string{"htop", "monitor", "dashboard"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return usageError(fmt.Errorf("--every %v: expected 100ms or more", every))
			}
			in, isFile := cmd.InOrStdin().(*os.File)
			if !isFile || !term.IsTerminal(int(in.Fd())) || !terminalOf(cmd.OutOrStdout()).is {
				return usageError(errors.New("top needs a terminal: use `understudy ps`, or `understudy tree --watch`"))
			}
			client := at.client()
			if _, err := client.Tree(cmd.Context()); err != nil {
				return err // before the screen is taken
			}
			action, err := runTop(cmd.Context(), client, in, cmd.OutOrStdout(), every)
			if err != nil || action.Kind == "quit" {
				return err
			}
			return advised(cmd.Context(), client, action.Session, attach(cmd, client, action.Session))
		},
	}
	cmd.Flags().DurationVar(&every, "every", time.Second, "how often to look")
	return cmd
}

// The escape sequences that top uses.
const (
	alternateScreen, primaryScreen = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
	topLeft, restOfLine, below     = "\x1b[H", "\x1b[K", "\x1b[J"
)

// runTop has the terminal until a key leaves it. The action is to quit, or to attach.
func runTop(ctx context.Context, client *debug.Client, in *os.File, out io.Writer, every time.Duration) (action debug.TopAction, err error) {
	raw, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return action, fmt.Errorf("use the terminal: %w", err)
	}
	defer func() {
		_, restored := io.WriteString(out, primaryScreen)
		err = errors.Join(err, restored, term.Restore(int(in.Fd()), raw))
	}()
	if _, err := io.WriteString(out, alternateScreen); err != nil {
		return action, err
	}
	ctx, cancel := context.WithCancel(ctx)
	t := &topScreen{client: client, out: out, trees: make(chan treeNow, 1), done: make(chan outcome, 8), statuses: make(chan string, 1)}
	keys := make(chan string)
	go readKeys(ctx, in, keys) // ends with ctx
	defer func() {
		cancel()
		for range keys { // it must not take a key that is meant for what comes next
		}
	}()
	go t.watch(ctx, every) // ends with ctx
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	for {
		if err := t.draw(); err != nil {
			return action, err
		}
		select {
		case now := <-t.trees:
			t.top.Update(now.root, now.err)
		case o := <-t.done:
			t.top.Done(o.action, o.err)
		case t.status = <-t.statuses:
		case s := <-signals:
			if s != syscall.SIGWINCH {
				return debug.TopAction{Kind: "quit"}, nil
			}
		case key, open := <-keys:
			if !open {
				return debug.TopAction{Kind: "quit"}, nil
			}
			if action := t.key(ctx, key); action.Kind == "quit" || action.Kind == "attach" {
				return action, nil
			}
		case <-ctx.Done():
			return action, context.Cause(ctx)
		}
	}
}

type treeNow struct {
	root debug.Node
	err  error
}

type outcome struct {
	action debug.TopAction
	err    error
}

// topScreen is the terminal while top has it.
type topScreen struct {
	client   *debug.Client
	out      io.Writer
	top      debug.Top
	status   string // of one session, instead of the list
	trees    chan treeNow
	done     chan outcome
	statuses chan string
}

// watch looks again and again.
func (t *topScreen) watch(ctx context.Context, every time.Duration) {
	for {
		sessions, err := t.client.Tree(ctx)
		select {
		case t.trees <- treeNow{sessions, err}:
		case <-ctx.Done():
			return
		}
		if !sleep(ctx, every) {
			return
		}
	}
}

func (t *topScreen) key(ctx context.Context, key string) debug.TopAction {
	if t.status != "" && key != "ctrl-c" {
		t.status = "" // any key goes back to the list
		return debug.TopAction{}
	}
	action := t.top.Key(key)
	do := map[string]func(context.Context, string) error{
		"restart": t.client.Restart, "interrupt": t.client.Interrupt, "stop": t.client.Stop,
	}[action.Kind]
	switch {
	case do != nil:
		go func() { // ends when the daemon has done it
			err := do(ctx, action.Session)
			select {
			case t.done <- outcome{action, err}:
			case <-ctx.Done():
			}
		}()
	case action.Kind == "open":
		go func() { // ends when the daemon has answered
			text := t.statusText(ctx, action.Session)
			select {
			case t.statuses <- text:
			case <-ctx.Done():
			}
		}()
	}
	return action
}

func (t *topScreen) statusText(ctx context.Context, name string) string {
	status, err := statusOf(ctx, t.client, name)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	if err := debug.RenderStatus(&b, status, terminalOf(t.out).rendering()); err != nil {
		return err.Error()
	}
	return b.String() + "\nany key goes back"
}

func (t *topScreen) draw() error {
	screen := terminalOf(t.out)
	text := ""
	if t.status != "" {
		lines := strings.Split(t.status, "\n")
		text = strings.Join(lines[:min(len(lines), screen.height)], "\n")
	} else {
		text = t.top.Render(screen.height, screen.rendering())
	}
	// A raw terminal wants a carriage return, and clearing line by line does not flicker.
	_, err := io.WriteString(t.out, topLeft+strings.ReplaceAll(text, "\n", restOfLine+"\r\n")+restOfLine+below)
	return err
}

// readKeys turns what a raw terminal sends into names of keys.
func readKeys(ctx context.Context, in *os.File, keys chan<- string) {
	defer close(keys)
	buffer := make([]byte, 256)
	for ctx.Err() == nil {
		// A read of a terminal cannot be ended, so there is none before there is something.
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}}, 50)
		if errors.Is(err, unix.EINTR) || err == nil && ready == 0 {
			continue
		}
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		for _, key := range keysIn(buffer[:n]) {
			select {
			case keys <- key:
			case <-ctx.Done():
				return
			}
		}
	}
}

var sequences = map[string]string{
	"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b[5~": "pageup", "\x1b[6~": "pagedown",
	"\x1b[H": "home", "\x1b[F": "end", "\x1bOH": "home", "\x1bOF": "end", "\x1b[1~": "home", "\x1b[4~": "end",
}

// keysIn are the keys in what a terminal sent at once. Sequences that mean nothing here are left out.
func keysIn(data []byte) []string {
	var keys []string
	for len(data) > 0 {
		if data[0] == 0x1b && len(data) > 1 && (data[1] == '[' || data[1] == 'O') {
			end := 2
			for end < len(data) && (data[end] < 0x40 || data[end] > 0x7e) {
				end++
			}
			end = min(end+1, len(data))
			if key, ok := sequences[string(data[:end])]; ok {
				keys = append(keys, key)
			}
			data = data[end:]
			continue
		}
		r, size := utf8.DecodeRune(data)
		switch r {
		case 0x03:
			keys = append(keys, "ctrl-c")
		case '\r', '\n':
			keys = append(keys, "enter")
		case 0x1b:
			keys = append(keys, "escape")
		case 0x7f, 0x08:
			keys = append(keys, "backspace")
		default:
			if r >= ' ' && r != utf8.RuneError {
				keys = append(keys, string(r))
			}
		}
		data = data[size:]
	}
	return keys
}

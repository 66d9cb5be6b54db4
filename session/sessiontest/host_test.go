package sessiontest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/sessiontest"
)

// frame is a line of the protocol, as a host sees it.
type frame map[string]any

func (f frame) str(path ...string) string {
	var v any = map[string]any(f)
	for _, key := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = object[key]
	}
	s, _ := v.(string)
	return s
}

// kind names a frame in a sequence.
func (f frame) kind() string {
	switch f.str("type") {
	case "system":
		if f.str("subtype") == "session_state_changed" {
			return f.str("state")
		}
		return f.str("subtype")
	case "command_lifecycle":
		return "command " + f.str("state")
	case "control_request":
		return f.str("request", "subtype")
	}
	return f.str("type")
}

// host is the other side of a CLI, real or simulated.
type host struct {
	t      *testing.T
	stdin  io.WriteCloser
	frames chan frame
	seen   []frame
	stderr *syncBuffer
	code   chan int
	kill   func()
	pid    int
}

// syncBuffer is a buffer that two goroutines may use.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// patience bounds every wait of a test.
const patience = time.Minute

var streaming = []string{"--print", "--verbose", "--input-format", "stream-json", "--output-format", "stream-json"}

// start runs the simulation inside the test, in a working directory of its own.
func start(t *testing.T, env map[string]string, args ...string) *host {
	t.Helper()
	if env == nil {
		env = map[string]string{}
	}
	if env["CLAUDE_CONFIG_DIR"] == "" {
		env["CLAUDE_CONFIG_DIR"] = t.TempDir()
		t.Chdir(t.TempDir())
	}
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	h := &host{t: t, stdin: stdin, frames: make(chan frame), stderr: &syncBuffer{}, code: make(chan int, 1), kill: func() {}}
	go func() { // ends with the simulation
		h.code <- sessiontest.Simulate(append(append([]string{}, streaming...), args...), in, out, h.stderr, func(name string) string { return env[name] })
		_ = out.Close()
		_ = in.Close()
	}()
	h.listen(stdout)
	t.Cleanup(func() { h.drain() })
	return h
}

// spawn runs the simulation in a process of its own.
func spawn(t *testing.T, cli command, args ...string) *host {
	t.Helper()
	cmd := exec.Command(cli.path, append(append(append([]string{}, cli.prefix...), streaming...), args...)...)
	cmd.Dir = cli.dir
	cmd.Env = os.Environ()
	for name, value := range cli.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, out := io.Pipe()
	h := &host{t: t, stdin: stdin, frames: make(chan frame), stderr: &syncBuffer{}, code: make(chan int, 1)}
	cmd.Stdout, cmd.Stderr = out, h.stderr
	cmd.WaitDelay = patience
	require.NoError(t, cmd.Start())
	h.pid = cmd.Process.Pid
	h.kill = func() { _ = cmd.Process.Kill() }
	go func() { // ends with the process
		_ = cmd.Wait()
		_ = out.Close()
		h.code <- cmd.ProcessState.ExitCode()
	}()
	h.listen(stdout)
	t.Cleanup(func() { h.kill(); h.drain() })
	return h
}

type command struct {
	path   string
	prefix []string
	env    map[string]string
	dir    string
}

func simulated(t *testing.T) command {
	path, prefix, env := sessiontest.CLI(t)
	return command{path: path, prefix: prefix, env: env, dir: t.TempDir()}
}

func (h *host) listen(stdout io.Reader) {
	go func() { // ends at the end of stdout
		defer close(h.frames)
		reader := bufio.NewReader(stdout)
		for {
			line, err := reader.ReadBytes('\n')
			if len(line) > 0 {
				var f frame
				if json.Unmarshal(line, &f) != nil {
					f = frame{"type": "garbage", "line": string(line)}
				}
				h.frames <- f
			}
			if err != nil {
				return
			}
		}
	}()
}

// drain ends the input and takes what is left, so that nothing stays behind.
func (h *host) drain() {
	_ = h.stdin.Close()
	for range h.frames {
	}
}

func (h *host) write(line string) {
	h.t.Helper()
	_, _ = io.WriteString(h.stdin, line+"\n") // a CLI that is gone shows in its frames
}

func (h *host) send(f frame) {
	h.t.Helper()
	line, err := json.Marshal(f)
	require.NoError(h.t, err)
	h.write(string(line))
}

func (h *host) prompt(text string) string {
	h.t.Helper()
	id := uuid.NewString()
	h.promptAs(id, text)
	return id
}

func (h *host) promptAs(id, text string) {
	h.t.Helper()
	h.send(frame{"type": "user", "message": frame{"role": "user", "content": text}, "parent_tool_use_id": nil, "session_id": "", "uuid": id})
}

func (h *host) request(body frame) {
	h.t.Helper()
	h.send(frame{"type": "control_request", "request_id": "request_1", "request": body})
}

func (h *host) reply(to frame, payload any) {
	h.t.Helper()
	h.send(frame{"type": "control_response", "response": frame{"subtype": "success", "request_id": to.str("request_id"), "response": payload}})
}

// next takes one frame; nil at the end of the output.
func (h *host) next() frame {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case f, open := <-h.frames:
		if !open {
			return nil
		}
		h.seen = append(h.seen, f)
		return f
	case <-ctx.Done():
		h.t.Fatalf("no frame for %v; so far: %v; stderr: %s", patience, h.kinds(), h.stderr)
		return nil
	}
}

// until takes frames up to one that fits.
func (h *host) until(fits func(frame) bool) frame {
	h.t.Helper()
	for {
		f := h.next()
		if f == nil {
			h.t.Fatalf("the output ended; so far: %v; stderr: %s", h.kinds(), h.stderr)
		}
		if fits(f) {
			return f
		}
	}
}

func (h *host) untilType(kind string) frame {
	h.t.Helper()
	return h.until(func(f frame) bool { return f.str("type") == kind })
}

func (h *host) untilKind(kind string) frame {
	h.t.Helper()
	return h.until(func(f frame) bool { return f.kind() == kind })
}

// initialize does the handshake.
func (h *host) initialize(hooks any) frame {
	h.t.Helper()
	h.request(frame{"subtype": "initialize", "hooks": hooks})
	return h.untilType("control_response")
}

// turn sends a prompt and takes its frames up to the result.
func (h *host) turn(text string) frame {
	h.t.Helper()
	h.prompt(text)
	return h.untilType("result")
}

// exit waits for the end and returns the exit code.
func (h *host) exit() int {
	h.t.Helper()
	for h.next() != nil {
	}
	select {
	case code := <-h.code:
		return code
	case <-time.After(patience):
		h.t.Fatal("no exit")
		return 0
	}
}

// end closes the input and waits for the end.
func (h *host) end() int {
	h.t.Helper()
	require.NoError(h.t, h.stdin.Close())
	return h.exit()
}

// kinds is the sequence of frames so far.
func (h *host) kinds() []string {
	var kinds []string
	for _, f := range h.seen {
		kinds = append(kinds, f.kind())
	}
	return kinds
}

// forget starts a new sequence.
func (h *host) forget() { h.seen = nil }

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// patience is how long a script waits for something, on a machine that is busy with other tests.
const patience = 60 * time.Second

// TestScripts runs testdata/script. Beside testscript's commands there are:
//
//	exit CODE COMMAND [ARG…]         run it, and expect this exit code
//	await NAME STATE [GENERATION]    wait until a session of the daemon is in that state, and of that generation
//	await_file FILE REGEXP           wait until the file holds it
//	signal NAME                      send the daemon INT, TERM, HUP, KILL or ABRT
//	pid VAR NAME                     take a session's pid out of stdout, which is that of ps --json
//	port VAR                         a port on which somebody listens, until the script is over
//	metrics FILE                     what the daemon shows at /metrics
//	last JSON                        the last line of stdout is an object that holds all this
//	terminal COLUMNS COMMAND…        run it on a terminal; what it shows is in stdout (Linux only)
//	hang_up COMMAND…                 run a daemon on a terminal, have it reload by a hangup, then take the terminal away (Linux only)
//	service_manager FILE             listen at NOTIFY_SOCKET from now on, and write into the file what is told
//	nothing_left                     no process is left of the daemon that had the data directory
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DEMO", filepath.Join(root, "testdata", "demo.yaml"))
			env.Setenv("TEN_MISTAKES", filepath.Join(root, "testdata", "config", "ten-mistakes.txtar"))
			env.Setenv("UNDERSTUDY_DATA_DIR", filepath.Join(env.WorkDir, "d"))
			env.Setenv("HOME", env.WorkDir)
			// A binary with the race detector would stay for a second after it is done.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, errors.New("unknown condition " + name)
		},
		Cmds: scriptCommands,
	})
}

var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"exit": exitWith, "await": await, "await_approval": awaitApproval, "await_file": awaitFile, "signal": signalDaemon, "pid": pid, "port": port, "last": last, "metrics": scrape, "nothing_left": nothingLeft,
	"service_manager": serviceManager,
}

// awaitApproval waits until a session's question waits for somebody.
func awaitApproval(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await_approval SESSION")
	}
	client := debug.Dial(filepath.Join(ts.Getenv("UNDERSTUDY_DATA_DIR"), socketName))
	defer client.Close()
	until(ts, args[0]+" asks", func(ctx context.Context) (bool, string) {
		list, err := client.Approvals(ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, a := range list {
			if a.Session == args[0] {
				return true, ""
			}
		}
		return false, strconv.Itoa(len(list)) + " approvals, none of it"
	})
}

func exitWith(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// until asks again and again, until the answer is yes.
func until(ts *testscript.TestScript, what string, done func(context.Context) (bool, string)) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, seen := done(ctx)
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("waited %v for %s; last seen: %s", patience, what, seen)
		}
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await NAME STATE [GENERATION]")
	}
	client := debug.Dial(filepath.Join(ts.Getenv("UNDERSTUDY_DATA_DIR"), socketName))
	defer client.Close()
	until(ts, strings.Join(args, " "), func(ctx context.Context) (bool, string) {
		tree, err := client.Tree(ctx)
		if err != nil {
			return false, err.Error()
		}
		node, ok := tree.Session(args[0])
		if !ok || node.SessionFields == nil {
			return false, "no such session"
		}
		generation := strconv.Itoa(node.Generation)
		return node.State == args[1] && (len(args) < 3 || generation == args[2]), node.State + " " + generation
	})
}

func awaitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await_file FILE REGEXP")
	}
	pattern := regexp.MustCompile("(?m)" + args[1])
	until(ts, args[1], func(context.Context) (bool, string) {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil {
			return false, err.Error()
		}
		return pattern.Match(data), string(data)
	})
}

func signalDaemon(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL, "ABRT": syscall.SIGABRT}
	if neg || len(args) != 1 || signals[args[0]] == 0 {
		ts.Fatalf("usage: signal INT|TERM|HUP|KILL|ABRT")
	}
	// The lock says whose the data directory is.
	holder, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(filepath.Join(ts.Getenv("UNDERSTUDY_DATA_DIR"), "understudy.lock"))))
	ts.Check(err)
	if holder <= 1 { // 0 would be all that runs with these tests
		ts.Fatalf("the lock says process %d", holder)
	}
	ts.Check(syscall.Kill(holder, signals[args[0]]))
}

func pid(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pid VAR NAME")
	}
	var sessions []debug.Node
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &sessions))
	for _, s := range sessions {
		if s.Name == args[1] && s.PID > 0 {
			ts.Setenv(args[0], strconv.Itoa(s.PID))
			return
		}
	}
	ts.Fatalf("no process of %s in stdout", args[1])
}

func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port VAR")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = listener.Close() }) // nothing was served
	_, number, err := net.SplitHostPort(listener.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], number)
}

func last(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: last JSON")
	}
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	var want, got map[string]any
	ts.Check(json.Unmarshal([]byte(args[0]), &want))
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		ts.Fatalf("last line %q: %v", lines[len(lines)-1], err)
	}
	for key, value := range want {
		if got[key] != value {
			ts.Fatalf("last line: %s is %v, want %v", key, got[key], value)
		}
	}
}

// scrape writes what the daemon shows at /metrics into a file.
func scrape(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: metrics FILE")
	}
	socket := filepath.Join(ts.Getenv("UNDERSTUDY_DATA_DIR"), "understudy.sock")
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	response, err := client.Get("http://daemon/metrics")
	ts.Check(err)
	text, err := io.ReadAll(response.Body)
	ts.Check(errors.Join(err, response.Body.Close()))
	if response.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s", response.Status, text)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

// serviceManager plays systemd: each message becomes a line, its own lines with commas between them.
func serviceManager(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: service_manager FILE")
	}
	dir, err := os.MkdirTemp("", "notify") // the script's own directory may be too long for a socket
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(dir) }) // a temporary one
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"})
	ts.Check(err)
	file, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	told := make(chan struct{})
	go func() { // ends with the script
		defer close(told)
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			_, _ = file.WriteString(strings.ReplaceAll(string(buffer[:n]), "\n", ",") + "\n") // the script misses it otherwise
		}
	}()
	ts.Defer(func() {
		_ = conn.Close() // which ends the reading
		<-told
		_ = file.Close()
	})
	ts.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "s"))
}

func nothingLeft(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: nothing_left")
	}
	id := strings.TrimSpace(ts.ReadFile(filepath.Join(ts.Getenv("UNDERSTUDY_DATA_DIR"), "runtime.id")))
	if swept := process.SweepPrefix(id + "/"); len(swept.Killed) > 0 || swept.Err != nil {
		ts.Fatalf("left: %+v", swept)
	}
}

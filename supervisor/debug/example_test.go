package debug_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// runtime is a Backend with one session that says what it is told.
type runtime struct{ debug.Backend }

var since = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (runtime) Usage([]int) map[int]debug.Usage { return nil }

func (runtime) Tree(context.Context) (debug.Node, error) {
	return debug.Node{Name: "root", Kind: "supervisor", State: "running", Since: since, Children: []debug.Node{{
		Name: "parrot", Kind: "session", State: "idle", Since: since.Add(time.Hour),
		Intensity:     &debug.Intensity{MaxRestarts: 3, MaxSeconds: 60, Used: 1},
		SessionFields: &debug.SessionFields{SessionID: "6d0e…", PID: 4711, Generation: 2, Turns: 7, CostUSD: 0.25, BudgetUSD: 1},
	}}}, nil
}

func (runtime) Query(_ context.Context, name, prompt string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if name != "parrot" {
			yield(nil, &debug.Error{Code: debug.NoSuchSession, Message: "no such session: " + name})
			return
		}
		yield(fmt.Appendf(nil, `{"type":"result","result":%q}`, prompt), nil)
	}
}

func (runtime) Acted(_ context.Context, _, action, target string, err error) {
	fmt.Printf("somebody asked for %s of %s: %v\n", action, target, err)
}

// A daemon serves its socket as a supervised child, and the command line asks it.
func Example() {
	dir, err := os.MkdirTemp("", "understudy")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "understudy.sock")

	start := debug.Serve(actor.NewSystem(actor.Options{}), "root/debug",
		func() (net.Listener, error) { return debug.ListenUnix(socket) },
		debug.Handler(runtime{}, debug.Options{Socket: true, Actions: true}), zerolog.Nop())
	server, err := start(context.Background()) // what a supervisor does with the Start of a ChildSpec
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		server.Stop(nil)
		<-server.Done()
	}()

	client := debug.Dial(socket)
	defer client.Close()
	for _, name := range []string{"parrot", "nobody"} {
		for frame, err := range client.Query(context.Background(), name, "hello") {
			if err != nil {
				fmt.Println(debug.CodeOf(err), "-", err)
				break
			}
			fmt.Println(string(frame))
		}
	}
	// Unordered output:
	// somebody asked for query of parrot: <nil>
	// {"type":"result","result":"hello"}
	// somebody asked for query of nobody: no such session: nobody
	// no_such_session - no such session: nobody
}

func ExampleRenderTree() {
	root, _ := runtime{}.Tree(context.Background())
	_ = debug.RenderTree(os.Stdout, root, debug.RenderOptions{Now: since.Add(2 * time.Hour)})
	// Output:
	// NAME       STATE            DOING  QUEUE  TURNS  RESTARTS         COST   PID  GEN
	// root       ● running 2h00m
	// └─ parrot  ○ idle 1h00m                0      7  1/3       $0.25/$1.00  4711    2
}

// An embedder mounts the endpoint in a server of its own, below any path.
func ExampleHandler() {
	mux := http.NewServeMux()
	mux.Handle("/ops/", http.StripPrefix("/ops", debug.Handler(runtime{}, debug.Options{})))

	request := httptest.NewRequest("GET", "http://localhost/ops/debug/understudy/sessions/parrot", nil)
	request.RemoteAddr = "127.0.0.1:54321" // others need a token
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, request)
	var parrot debug.Node
	fmt.Println(answer.Code, json.Unmarshal(answer.Body.Bytes(), &parrot), parrot.State)
	// Output: 200 <nil> idle
}

func ExampleDial() {
	_, err := debug.Dial("/nowhere/understudy.sock").Tree(context.Background())
	fmt.Println(errors.Is(err, debug.ErrNoDaemon))
	fmt.Println(err)
	// Output:
	// true
	// no understudy daemon listens on /nowhere/understudy.sock (no such file or directory): start one with `understudy up`, or say where it is with --data-dir or --socket
}

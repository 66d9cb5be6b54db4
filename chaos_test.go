package understudy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// TestChaos kills simulated CLIs at random while all of them are queried, and while somebody looks. In the end every query was
// answered or failed with a typed error, every session is idle or parked, each tool call has its end in the audit log, and nothing is
// left: no process, no goroutine, no descriptor.
func TestChaos(t *testing.T) {
	const sessions = 50
	usual := 10 * time.Second
	if testing.Short() {
		usual = 2 * time.Second
	}
	u := newTurmoil(t, usual)

	// What the first runtime of a process opens for good (the poller, random numbers) is no leak.
	warm := newChaos(t, 1)
	_, err := warm.sessions[0].Ask(t.Context(), bash("true"))
	require.NoError(t, err)
	shutdown(t, warm.rt)
	goroutines := goleak.IgnoreCurrent()
	descriptors := openDescriptors(t)

	c := newChaos(t, sessions)
	for i, s := range c.sessions {
		random := u.random(i + 1)
		u.repeat(func() bool { return c.query(u, s, random) })
	}
	u.repeat(func() bool { return c.look(u.over) })
	kills := c.kill(u.random(0), u.length)
	close(u.over)
	u.await(t, c.describe)

	parked := 0
	for _, s := range c.sessions {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		answer, err := s.Ask(ctx, "still there?")
		cancel()
		if errors.Is(err, session.ErrFailed) {
			parked++
			assert.Equal(t, session.Failed, s.Info().State, s.Name())
			assert.Error(t, s.Info().Reason, s.Name())
			assert.Greater(t, c.blows[s].Load(), int64(mostRestarts), "%s is parked", s.Name())
			continue
		}
		assert.NoError(t, err, s.Name())
		assert.Equal(t, "echo: still there?", answer.Text, s.Name())
		// A turn of its own may come in between.
		assert.Eventually(t, func() bool { return s.Info().State == session.Idle }, patience, time.Millisecond, "%s: %+v", s.Name(), s.Info())
		assert.Zero(t, s.Info().Queue, s.Name())
	}
	t.Logf("%d kills; queries: %s; %d of %d sessions parked", kills, u, parked, sessions)
	assert.Positive(t, u.ends["answered"])
	assert.Positive(t, u.ends["crashed"], "kills were noticed")
	assert.Zero(t, u.ends["unaudited"]+u.ends["no room"], "there is a log, and everybody reads")

	runtimeID, _, _ := strings.Cut(c.sessions[0].Launch().Marker, "/")
	accounted(t, c.rt, c.dir)
	assert.Empty(t, process.SweepPrefix(runtimeID+"/").Killed, "processes left behind")
	assert.NotContains(t, c.log.String(), "stray", "the runtime's own last sweep found what sessions had left")
	assert.NotContains(t, c.log.String(), "panic")
	assert.NoError(t, goleak.Find(goroutines))
	assert.Equal(t, descriptors, openDescriptors(t), "descriptors: %v", descriptorNames())
}

// chaos is a runtime with many simulated sessions.
type chaos struct {
	t        *testing.T
	dir      string
	rt       *understudy.Runtime
	page     http.Handler
	sessions []*session.Session
	log      lockedBuffer
	crashes  atomic.Int64                       // processes that were told to crash
	blows    map[*session.Session]*atomic.Int64 // how often its process was killed, or told to crash
}

// mostRestarts is what a session bears: one that had no more crashes is not parked.
const mostRestarts = 4

// newChaos starts a runtime and waits until all sessions are up.
func newChaos(t *testing.T, sessions int) *chaos {
	t.Helper()
	c := &chaos{t: t, dir: t.TempDir()}
	path, args, env := sessiontest.CLI(t)
	env["HOME"] = t.TempDir()
	options := understudy.Options{
		DataDir: c.dir, CLI: session.CLI{Path: path, Args: args},
		Supervisor: understudy.SupervisorOptions{
			Intensity: &supervisor.Intensity{MaxRestarts: mostRestarts, Within: 30 * time.Second}, // on a slow machine, too, the first has more
			Backoff:   &supervisor.Backoff{Initial: 10 * time.Millisecond, Max: 200 * time.Millisecond, Jitter: 0.2},
		},
		Logger: zerolog.New(&c.log).Level(zerolog.WarnLevel),
	}
	for i := range sessions {
		options.Sessions = append(options.Sessions, understudy.SessionSpec{Name: fmt.Sprintf("s%02d", i), Options: session.Options{
			CWD: t.TempDir(), Env: env, APIKey: madeUpKey, AllowedTools: []string{"Bash"}, Shutdown: supervisor.Within(10 * time.Second),
		}})
	}
	var err error
	c.rt, err = understudy.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, c.rt) })
	c.sessions = c.rt.Sessions()
	require.Len(t, c.sessions, sessions)
	c.blows = make(map[*session.Session]*atomic.Int64)
	for _, s := range c.sessions {
		c.blows[s] = new(atomic.Int64)
	}
	c.page = debug.Handler(c.rt.Backend(nil), debug.Options{Token: "a token that is long enough to be one"})
	return c
}

// look is somebody who watches the tree, and somebody who must not.
func (c *chaos) look(over <-chan struct{}) bool {
	ask := func(host, path string) *httptest.ResponseRecorder {
		request := httptest.NewRequest("GET", "http://"+host+debug.Path+path, nil)
		request.RemoteAddr = "127.0.0.1:40000"
		request.Header.Set("Accept", "application/json")
		answer := httptest.NewRecorder()
		c.page.ServeHTTP(answer, request)
		return answer
	}
	tree := ask("127.0.0.1", "tree")
	assert.Equal(c.t, http.StatusOK, tree.Code, tree.Body)
	assert.True(c.t, json.Valid(tree.Body.Bytes()))
	for _, s := range c.sessions {
		assert.Contains(c.t, tree.Body.String(), s.Name())
	}
	assert.Equal(c.t, http.StatusMisdirectedRequest, ask("evil.example", "tree").Code)
	select {
	case <-over:
	case <-time.After(50 * time.Millisecond): // as often as a page does that somebody reloads in anger
	}
	return true
}

// chores are prompts whose turns are killed at different places: before the model answers, in a tool, in the answer, or by
// themselves.
var chores = []string{
	"[[sleep:20ms]] a short one",
	"[[sleep:200ms]] a long one",
	"[[slow:200ms]] a slow one",
	bash("echo working; sleep 0.1; echo done"),
	bash("(setsid sleep 30 &) ; sleep 0.05; echo left something"),
	"[[selfturn:30ms on its own]] [[say:later]]",
	"[[crash]]",
	"[[exit:0]]",
}

// query asks once, and reports whether to go on: until the session is parked.
func (c *chaos) query(u *turmoil, s *session.Session, random *rand.Rand) bool {
	prompt := chores[random.IntN(len(chores))]
	if strings.HasPrefix(prompt, "[[crash") || strings.HasPrefix(prompt, "[[exit") {
		// By themselves they would park every session: one each on average, however many queries the machine gets through.
		if random.IntN(8) > 0 || c.crashes.Add(1) > int64(len(c.sessions)) {
			prompt = chores[0]
		} else {
			c.blows[s].Add(1)
		}
	}
	ctx, cancel, impatient := u.within(c.t.Context(), random, 10, 300*time.Millisecond)
	defer cancel()
	_, err := s.Ask(ctx, prompt)
	end := endOf(err)
	if impatient && errors.Is(err, context.DeadlineExceeded) {
		end = "taken back"
	}
	if end == "" {
		c.t.Errorf("%s: %q ended with an error that says nothing to a program: %v (%+v)", s.Name(), prompt, err, s.Info())
		end = "other"
	}
	u.ended(end)
	return end != "failed"
}

// kill sends SIGKILL to CLIs for a while: to any of them now and then, and to the first as soon as it is there, which no
// restart policy bears.
func (c *chaos) kill(random *rand.Rand, length time.Duration) (kills int) {
	end := time.After(length)
	hunted := 0
	for {
		select {
		case <-end:
			return kills
		case <-time.After(time.Duration(20+random.IntN(100)) * time.Millisecond):
		}
		if pid := c.sessions[0].Info().PID; pid != hunted && pid > 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
			hunted = pid
			c.blows[c.sessions[0]].Add(1)
			kills++
		}
		victim := c.sessions[1+random.IntN(len(c.sessions)-1)]
		if pid := victim.Info().PID; pid > 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
			c.blows[victim].Add(1)
			kills++
		}
	}
}

func (c *chaos) describe() string {
	var b strings.Builder
	for _, s := range c.sessions {
		fmt.Fprintf(&b, "%+v\n", s.Info())
	}
	return b.String()
}

// lockedBuffer is a log of several goroutines.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("descriptors are counted in /proc, which is not here")
	}
	require.NoError(t, err)
	return len(entries)
}

func descriptorNames() []string {
	var names []string
	entries, _ := os.ReadDir("/proc/self/fd") // for a message only
	for _, e := range entries {
		name, _ := os.Readlink("/proc/self/fd/" + e.Name()) // the directory's own is closed already
		names = append(names, e.Name()+"="+name)
	}
	return names
}

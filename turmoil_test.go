package understudy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
)

const (
	// seedVariable repeats a random test, as far as the machine does.
	seedVariable = "UNDERSTUDY_CHAOS_SEED"
	// lengthVariable is how long one lasts, a duration.
	lengthVariable = "UNDERSTUDY_CHAOS"
)

// turmoil is what many do at random at the same time, and how that ends.
type turmoil struct {
	seed   uint64
	length time.Duration
	over   chan struct{} // closed by the test: nobody begins anything more
	work   sync.WaitGroup

	mu   sync.Mutex
	ends map[string]int
}

// newTurmoil lasts as long as usual, unless the environment says otherwise.
func newTurmoil(t *testing.T, usual time.Duration) *turmoil {
	t.Helper()
	u := &turmoil{seed: uint64(time.Now().UnixNano()), length: usual, over: make(chan struct{}), ends: make(map[string]int)}
	var err error
	if text := os.Getenv(lengthVariable); text != "" {
		u.length, err = time.ParseDuration(text)
		require.NoError(t, err, lengthVariable)
	}
	if text := os.Getenv(seedVariable); text != "" {
		u.seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, seedVariable)
	}
	t.Logf("again with the same choices: %s=%d", seedVariable, u.seed)
	return u
}

// random makes the choices of the nth who takes part.
func (u *turmoil) random(n int) *rand.Rand { return rand.New(rand.NewPCG(u.seed, uint64(n))) }

// repeat has somebody do something again and again, until it is over or he wants no more.
func (u *turmoil) repeat(f func() bool) {
	u.work.Go(func() { // ends with the last time
		for {
			select {
			case <-u.over:
				return
			default:
			}
			if !f() {
				return
			}
		}
	})
}

// within bounds what is done: one in so many is impatient, and waits for less than most.
func (u *turmoil) within(parent context.Context, random *rand.Rand, oneIn int, most time.Duration) (ctx context.Context, cancel context.CancelFunc, impatient bool) {
	if impatient = random.IntN(oneIn) == 0; impatient {
		ctx, cancel = context.WithTimeout(parent, time.Duration(random.Int64N(int64(most))))
	} else {
		ctx, cancel = context.WithTimeout(parent, patience)
	}
	return ctx, cancel, impatient
}

// endOf names the end of what was asked of a session; empty if it says nothing to a program.
func endOf(err error) string {
	var crash *session.CrashError
	var result *session.ResultError
	switch {
	case err == nil:
		return "answered"
	case errors.Is(err, session.ErrFailed):
		return "failed"
	case errors.As(err, &crash):
		return "crashed"
	case errors.Is(err, session.ErrAuditUnavailable):
		return "unaudited"
	case errors.Is(err, session.ErrSlowConsumer):
		return "no room"
	case errors.Is(err, session.ErrInterrupted):
		return "interrupted"
	case errors.As(err, &result):
		return "error result"
	case errors.Is(err, session.ErrDropped):
		return "dropped"
	}
	return ""
}

// slow is how long what is done in a turmoil may take before somebody looks where it hangs.
const slow = 8 * time.Second

// watch has a test's log say where everything stands if done is not called soon: what took that long is to be found in it, should the test
// fail for it later.
func (u *turmoil) watch(t *testing.T, what string) (done func()) {
	timer := time.AfterFunc(slow, func() { t.Logf("%s takes longer than %v\n%s\n%s", what, slow, processTable(), stackDump()) })
	return func() { timer.Stop() }
}

// stackDump is where each goroutine is.
func stackDump() []byte {
	dump := make([]byte, 4<<20)
	return dump[:runtime.Stack(dump, true)]
}

// processTable is what each process of this one's session does, and where in the kernel, as far as it can be told.
func processTable() string {
	var b strings.Builder
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*") // the pattern is right
	for _, task := range tasks {
		stat, err := os.ReadFile(filepath.Join(task, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		wchan, _ := os.ReadFile(filepath.Join(task, "wchan")) // as above, or it is not for us to know
		_, after, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(after)
		if len(fields) > 1 {
			fmt.Fprintf(&b, "%s %.60s: state %s, parent %s, in %s\n", task, stat, fields[0], fields[1], wchan)
		}
	}
	return b.String()
}

// ended counts an end.
func (u *turmoil) ended(end string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ends[end]++
}

// await waits for all who take part.
func (u *turmoil) await(t *testing.T, describe func() string) {
	t.Helper()
	ended := make(chan struct{})
	go func() { u.work.Wait(); close(ended) }() // ends with them
	select {
	case <-ended:
	case <-time.After(patience):
		require.FailNow(t, "somebody waits", "%s\n%s", u, describe())
	}
}

func (u *turmoil) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var parts []string
	for _, end := range slices.Sorted(maps.Keys(u.ends)) {
		parts = append(parts, fmt.Sprintf("%d %s", u.ends[end], end))
	}
	return strings.Join(parts, ", ")
}

// accounted ends a runtime and holds its audit log to what must be true of each: every tool call has its end, behind its intent, no
// session's sequence has a hole, and costs add up.
func accounted(t *testing.T, rt *understudy.Runtime, dataDir string) {
	t.Helper()
	shutdown(t, rt)
	report, err := audit.Verify(t.Context(), filepath.Join(dataDir, "audit"), audit.VerifyOptions{Invariants: true})
	require.NoError(t, err)
	assert.Equal(t, 0, report.Code(), "%v", report.Findings)
}

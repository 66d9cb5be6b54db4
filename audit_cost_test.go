package understudy_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
)

// TestCostOfAToolCall measures what the audit log adds to one tool call on the real CLI: from the model's wish to the tool's
// result, in pairs of one with and one without waiting for the log. It measures, and asserts nothing: UNDERSTUDY_COST=100.
func TestCostOfAToolCall(t *testing.T) {
	pairs, err := strconv.Atoi(os.Getenv("UNDERSTUDY_COST"))
	if err != nil || pairs < 1 {
		t.Skip("UNDERSTUDY_COST is not set to a number of pairs")
	}
	var sides [2]struct {
		*rig
		events chan session.ToolEvent
		took   []time.Duration
	}
	for i, mode := range []audit.Mode{audit.Required, audit.BestEffort} {
		s := &sides[i]
		s.rig, s.events = newRig(t, true), make(chan session.ToolEvent, 1)
		s.options.Audit.Mode = mode
		s.spec.AllowedTools = []string{"Write"}
		s.spec.ToolCallback = func(e session.ToolEvent) { s.events <- e }
		s.boot()
	}
	var added []time.Duration
	for n := range pairs + 5 {
		var pair [2]time.Duration
		for _, i := range [2]int{n % 2, 1 - n%2} {
			s := &sides[i]
			s.mustAsk(call("Write", map[string]any{"file_path": filepath.Join(s.work, strconv.Itoa(n)), "content": "x"}))
			e := <-s.events
			require.False(t, e.IsError, e.Result)
			pair[i] = e.EndedAt.Sub(e.StartedAt)
		}
		if n < 5 { // it warms up
			continue
		}
		added = append(added, pair[0]-pair[1])
		for i := range sides {
			sides[i].took = append(sides[i].took, pair[i])
		}
	}
	median := func(d []time.Duration) time.Duration {
		slices.Sort(d)
		return d[len(d)/2]
	}
	t.Logf("%d pairs: %v with the log, %v without waiting, the median of the differences %v",
		pairs, median(sides[0].took), median(sides[1].took), median(added))
}

package understudy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/supervisor"
)

// Fault: the audit log ends and cannot be opened, a hundred times; then it can
// Outcome: what its supervisor did is in the log, the first of it and the last; what is between is counted in a log.gap
// On: memory
func TestALogThatFailsManyTimes(t *testing.T) {
	for name, events := range map[string]int{"none": 0, "as many as are kept": mostHeld, "one more": mostHeld + 1, "many": 200} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			system := actor.NewSystem(actor.Options{})
			dir := t.TempDir()
			rt := &Runtime{trail: audit.New(system, audit.Options{Dir: dir})}
			begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
			event := func(kind supervisor.EventKind, i int) supervisor.Event {
				return supervisor.Event{
					Kind: kind, Supervisor: "root", Child: auditChild, Incarnation: i, Time: begin.Add(time.Duration(i) * time.Minute),
					Reason: errors.New("no room"),
				}
			}
			for i := range events {
				rt.recordEvent(event(supervisor.ChildExited, i), false)
			}
			require.LessOrEqual(t, len(rt.held), mostHeld)
			log, err := rt.trail.Start(ctx)
			require.NoError(t, err)
			rt.recordEvent(event(supervisor.ChildStarted, events), false)
			require.Empty(t, rt.held)
			log.Stop(nil)
			select {
			case <-log.Done():
			case <-ctx.Done():
				t.Fatal("the audit log does not end")
			}
			require.NoError(t, rt.trail.Settle(ctx))

			kept, lost := []int{}, 0
			for r, err := range audit.Read(dir) {
				require.NoError(t, err)
				switch r.Kind {
				case audit.SupervisorEvent:
					attempt, _ := r.Detail["attempt"].(float64)
					kept = append(kept, int(attempt))
				case audit.LogGap:
					lost = int(r.Detail["count"].(float64))
					assert.Equal(t, map[string]any{"supervisor.event": float64(lost)}, r.Detail["kinds"])
					assert.Equal(t, map[string]any{"too many held back": float64(lost)}, r.Detail["reasons"])
					for key, i := range map[string]int{"first": mostHeld / 2, "last": mostHeld/2 + lost - 1} {
						assert.Equal(t, event("", i).Time.Format(time.RFC3339Nano), r.Detail[key], key)
					}
				default:
					assert.True(t, strings.HasPrefix(string(r.Kind), "log."), "%s", r.Kind)
				}
			}
			want := []int{}
			for i := range events + 1 {
				if i < mostHeld/2 || i >= events-min(events, mostHeld)+min(events, mostHeld/2) {
					want = append(want, i)
				}
			}
			assert.Equal(t, want, kept)
			assert.Equal(t, max(0, events-mostHeld), lost)
		})
	}
}

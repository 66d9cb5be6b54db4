package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/metrics"
	"github.com/understudy-run/understudy/supervisor"
)

// end is the one message there is: end with that reason.
type end struct{ reason error }

type worker struct{}

func (worker) Receive(c *actor.Context[end], m end) { c.Exit(m.reason) }

// exits are errors with a class of their own.
type exits string

func (e exits) Error() string     { return string(e) }
func (e exits) ExitClass() string { return string(e) }

// stage is a supervisor with children that can be told to end.
type stage struct {
	*testing.T
	sys       *actor.System
	top       *supervisor.Supervisor
	collector *metrics.Collector
}

func (s *stage) start(path string, fail *error) func(context.Context) (actor.PID, error) {
	return func(context.Context) (actor.PID, error) {
		if fail != nil && *fail != nil {
			return actor.PID{}, *fail
		}
		ref, err := actor.Spawn(s.sys, actor.Spec{Name: path}, worker{})
		return ref.PID, err
	}
}

func (s *stage) end(path string, reason error) {
	s.Helper()
	pid, ok := s.sys.Lookup(path)
	require.True(s, ok, path)
	if reason == actor.ErrKilled {
		pid.Kill()
	} else {
		pid.Stop(reason)
	}
	synctest.Wait()
}

// shows compares the metrics of those names.
func (s *stage) shows(want string, names ...string) {
	s.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	assert.ElementsMatch(s, lines, values(s.T, s.collector, names...))
}

// values are the metrics of those names, each as its name, its labels' values and its own. Gauges at 0 are left out.
func values(t *testing.T, c prometheus.Collector, names ...string) (got []string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, name := range names {
			if family.GetName() != "understudy_"+name {
				continue
			}
			for _, m := range family.GetMetric() {
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetValue())
				}
				if value := m.GetCounter().GetValue() + m.GetGauge().GetValue(); value != 0 || m.GetCounter() != nil {
					got = append(got, fmt.Sprintf("%s %s %v", name, strings.Join(labels, " "), value))
				}
			}
		}
	}
	return got
}

func TestCollectorCountsAndShowsWhatSupervisorsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{T: t, sys: actor.NewSystem(actor.Options{}), collector: metrics.NewCollector(metrics.Options{})}
		var refuse error
		var err error
		own := &supervisor.Intensity{MaxRestarts: 2, Within: time.Minute}
		pool := func(ctx context.Context) (actor.PID, error) {
			inner, err := supervisor.Start(ctx, s.sys, supervisor.Options{
				Name: "root/pool", Strategy: supervisor.SimpleOneForOne, OnEvent: s.collector.OnEvent,
				Template: &supervisor.Template{
					Start: func(ctx context.Context, id string, _ any) (actor.PID, error) {
						return s.start("root/pool/"+id, nil)(ctx)
					},
					Spec: supervisor.ChildSpec{ID: "member"},
				},
			})
			if err != nil {
				return actor.PID{}, err
			}
			for range 3 {
				if _, err := inner.StartInstance(ctx, "", nil); err != nil {
					return actor.PID{}, err
				}
			}
			return inner.PID(), nil
		}
		s.top, err = supervisor.Start(t.Context(), s.sys, supervisor.Options{
			Name: "root", OnEvent: s.collector.OnEvent, Intensity: &supervisor.Intensity{MaxRestarts: 4, Within: time.Hour},
			Children: []supervisor.ChildSpec{
				{ID: "a", Start: s.start("root/a", &refuse), Backoff: &supervisor.Backoff{Initial: 8 * time.Second}},
				{ID: "b", Start: s.start("root/b", nil), Intensity: own, OnExhausted: supervisor.Fail},
				{ID: "pool", Kind: supervisor.Supervised, Start: pool},
			},
		})
		require.NoError(t, err)
		s.shows("", "tree_read")
		s.collector.Watch(metrics.Tree(s.top))
		s.shows("tree_read  1", "tree_read")
		s.shows(`
			actor_starts_total first a root 1
			actor_starts_total first b root 1
			actor_starts_total first pool root 1
			actor_starts_total first member root/pool 3
			actors a worker running root 1
			actors b worker running root 1
			actors pool supervisor running root 1
			actors member worker running root/pool 3
			supervisor_restart_window_allowed root 4
			supervisor_restart_window_allowed root/pool 3
			actor_restart_window_allowed b root 2`,
			"actor_starts_total", "actors", "supervisor_restarts_total", "supervisor_restart_window_allowed", "actor_restart_window_allowed")

		s.end("root/pool/member-2", exits("signal"))
		for range 3 {
			s.end("root/b", errors.New("boom"))
		}
		refuse = errors.New("not now")
		s.end("root/a", actor.ErrKilled)
		time.Sleep(2 * time.Second)
		s.shows(`
			actor_exits_total member signal root/pool 1
			actor_exits_total b error root 3
			actor_exits_total a killed root 1
			supervisor_restarts_total crash member root/pool 1
			supervisor_restarts_total crash b root 2
			supervisor_parked_total b root 1
			actors a worker restarting root 1
			actors b worker failed root 1
			actors pool supervisor running root 1
			actors member worker running root/pool 3
			actor_backoff_seconds a root 6
			actor_restart_window_used b root 3
			supervisor_restart_window_used root 1
			supervisor_restart_window_used root/pool 1
			supervisor_restart_window_used_ratio root 0.25`+"\n"+fmt.Sprintf("supervisor_restart_window_used_ratio root/pool %v", 1.0/3),
			"actor_exits_total", "supervisor_restarts_total", "supervisor_parked_total", "actors", "actor_backoff_seconds",
			"actor_restart_window_used", "supervisor_restart_window_used", "supervisor_restart_window_used_ratio")

		time.Sleep(7 * time.Second)
		synctest.Wait()
		s.shows("actor_start_failures_total a error root 1", "actor_start_failures_total")
		refuse = nil
		_, err = s.top.RecycleChild(t.Context(), "a")
		require.NoError(t, err)
		s.shows(`
			supervisor_restarts_total operator a root 1
			supervisor_restarts_total crash member root/pool 1
			supervisor_restarts_total crash b root 2`, "supervisor_restarts_total")
		for range 4 { // the first crash has left its window
			s.end("root/pool/member-1", exits("signal"))
		}
		s.shows(`
			supervisor_escalations_total root/pool 1
			actor_exits_total member signal root/pool 5
			actor_exits_total pool exhausted root 1
			actor_exits_total b error root 3
			actor_exits_total a killed root 1`, "supervisor_escalations_total", "actor_exits_total")

		require.NoError(t, s.top.Stop(t.Context()))
		s.shows("", "tree_read", "actors") // 0: it cannot be read
		registry := prometheus.NewRegistry()
		registry.MustRegister(s.collector)
		families, err := registry.Gather()
		require.NoError(t, err)
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		require.NoError(t, err)
		assert.Empty(t, problems)
	})
}

func TestReasonHasFewValues(t *testing.T) {
	for want, reason := range map[string]error{
		"normal": nil, "shutdown": fmt.Errorf("done: %w", actor.ErrShutdown), "killed": actor.ErrKilled,
		"panic": &actor.PanicError{Value: "x"}, "planned": supervisor.ErrRecycle, "error": errors.New("disk /dev/sda1 is on fire"),
		"timeout":   fmt.Errorf("%w: not ready within 1s", supervisor.ErrStartTimeout),
		"exhausted": &supervisor.ExhaustedError{Cause: actor.ErrKilled}, "memory": fmt.Errorf("session a: %w", exits("memory")),
	} {
		assert.Equal(t, want, metrics.Reason(reason), "%v", reason)
	}
}

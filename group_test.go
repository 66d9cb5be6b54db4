package understudy_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
)

func TestGroupsCountTogetherAndAreParkedAlone(t *testing.T) {
	t.Parallel()
	path, args, env := sessiontest.CLI(t)
	options := session.Options{CWD: t.TempDir(), Env: env}
	events := make(chan supervisor.Event, 1000)
	none := supervisor.Intensity{MaxRestarts: 0, Within: time.Minute}
	rt, err := understudy.Start(t.Context(), understudy.Options{
		DataDir: t.TempDir(), CLI: session.CLI{Path: path, Args: args},
		Sessions:   []understudy.SessionSpec{{Name: "alone", Options: options}},
		Supervisor: understudy.SupervisorOptions{Intensity: &none},
		Groups: []understudy.Group{{
			Name: "team", Intensity: &supervisor.Intensity{MaxRestarts: 1, Within: time.Minute},
			Sessions: []understudy.SessionSpec{{Name: "one", Options: options}},
			Groups:   []understudy.Group{{Name: "inner", Sessions: []understudy.SessionSpec{{Name: "two", Options: options}}}},
		}},
		OnEvent: func(e supervisor.Event) { events <- e },
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, rt.Shutdown(ctx))
	})
	ask := func(name, prompt string) (session.Answer, error) {
		s, err := rt.Session(name)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return s.Ask(ctx, prompt)
	}
	for _, name := range []string{"alone", "one", "two"} {
		_, err := ask(name, "hello "+name)
		require.NoError(t, err, name)
	}
	tree, err := rt.Tree(t.Context())
	require.NoError(t, err)
	var names []string
	for _, s := range tree.Sessions() {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"alone", "one", "two"}, names)

	// One restart is the group's; the second is too many for it, and the supervisor above tolerates none.
	one, err := rt.Session("one")
	require.NoError(t, err)
	signal(t, one, syscall.SIGKILL)
	_, err = ask("one", "again")
	require.NoError(t, err)
	require.Equal(t, 2, one.Info().Generation)
	signal(t, one, syscall.SIGKILL)
	for e := range events {
		if e.Kind == supervisor.ChildParked {
			assert.Equal(t, "team", e.Child)
			break
		}
	}
	_, err = ask("one", "hello")
	assert.ErrorIs(t, err, session.ErrFailed)
	_, err = ask("two", "hello")
	assert.ErrorIs(t, err, session.ErrFailed, "it went with its group")
	_, err = ask("alone", "hello")
	assert.NoError(t, err)

	// Restarting one of them restarts the group.
	require.NoError(t, rt.Restart(t.Context(), "two"))
	for _, name := range []string{"one", "two"} {
		answer, err := ask(name, "[[history]]")
		require.NoError(t, err, name)
		assert.Contains(t, answer.Text, "hello "+name)
	}
}

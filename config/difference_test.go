package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/config"
)

func TestDifferencesAreNamedAsInTheFile(t *testing.T) {
	const base = `version: 1
data_dir: /var/lib/u
supervisor: {max_restarts: 3, backoff: {initial: 1s}}
limits: {max_busy: 4}
defaults: {model: haiku}
templates: {worker: {}, other: {model: opus}}
sessions: {a: {}}
supervisors: {ci: {sessions: {b: {}}}, cd: {sessions: {c: {}}}}
pools: {p: {min: 1}}
budgets: {team: {limit_usd: 5}}
audit: {mode: required}
debug: {listen: "127.0.0.1:1", token: a-secret-of-some-length}
drain_timeout: 10s
`
	const other = `version: 1
data_dir: /var/lib/v
supervisor: {max_restarts: 4, backoff: {initial: 2s}}
limits: {max_busy: 5}
defaults: {model: haiku}
templates: {worker: {model: opus}, third: {}}
sessions: {a: {model: opus}}
supervisors: {cd: {sessions: {c: {}}}, ci: {sessions: {b: {model: opus}}}}
pools: {q: {min: 1}}
budgets: {team: {limit_usd: 6}}
audit: {mode: best_effort, dir: /var/lib/u/audit}
debug: {listen: "127.0.0.1:2", token: another-secret-of-some-length}
drain_timeout: 20s
`
	parse := func(text string) *config.Config {
		c, err := config.Parse("x.yaml", []byte(text), nil)
		require.NoError(t, err)
		return c
	}
	a, b := parse(base), parse(other)
	assert.Equal(t, config.Difference{}, config.Differ(a, parse(base)))
	d := config.Differ(a, b)
	assert.ElementsMatch(t, []string{"templates.worker", "templates.third (new)", "templates.other (gone)", "drain_timeout"}, d.Live)
	assert.ElementsMatch(t, []string{
		"data_dir", "supervisor.max_restarts", "supervisor.backoff.initial", "audit.mode", "debug.listen", "debug.token",
	}, d.Restart, "groups, pools, budgets and limits are the runtime's to compare")

	c := parse(base)
	c.Templates[0], c.Templates[1] = c.Templates[1], c.Templates[0]
	assert.Equal(t, []string{"templates (order)"}, config.Differ(a, c).Live)
	c = parse(base)
	c.Defaults.Model = "opus"
	assert.Equal(t, []string{"defaults"}, config.Differ(a, c).Live)
}

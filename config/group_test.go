package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// The sample says what its comments do.
func TestSampleWithGroups(t *testing.T) {
	c, err := Load("../testdata/groups.yaml", nil)
	require.NoError(t, err)
	defaults := session.Options{PermissionMode: protocol.ModeDontAsk, AllowedTools: []string{"Read", "Glob", "Grep", "Bash(echo:*)"}, MaxTurns: 20}
	with := func(change func(*session.Options)) session.Options {
		o := defaults
		change(&o)
		return o
	}
	plan := with(func(o *session.Options) { o.PermissionMode = protocol.ModePlan })
	haiku := with(func(o *session.Options) { o.Model = "haiku" })
	worker := with(func(o *session.Options) { o.Model, o.MaxTurns = "haiku", 5 })

	assert.Equal(t, defaults, c.Defaults)
	assert.Equal(t, []Session{{"reviewer", plan}}, c.Sessions)
	assert.Equal(t, []Group{{
		Name:       "ci",
		Supervisor: Supervisor{supervisor.RestForOne, 5, 60, supervisor.Backoff{Initial: 200 * time.Millisecond, Jitter: 0.2}},
		Sessions:   []Session{{"builder", haiku}, {"tester", defaults}},
		Supervisors: []Group{{
			Name:       "docs",
			Supervisor: Supervisor{supervisor.OneForAll, 1, 10, supervisor.Backoff{Initial: time.Second, Jitter: 0.2}},
			Sessions:   []Session{{"writer", defaults}, {"editor", plan}},
		}},
	}}, c.Supervisors)
	assert.Equal(t, supervisor.Intensity{MaxRestarts: 5, Within: time.Minute}, c.Supervisors[0].Intensity())
	assert.Equal(t, []Template{{Name: "worker", Options: worker, Warm: 1}}, c.Templates)
	assert.Equal(t, []Pool{{Name: "workers", Template: "worker", Options: worker, Min: 2, Max: 8, MaxQueue: 16, IdleTimeout: 5 * time.Minute}}, c.Pools)

	got, ok := c.Session("editor")
	assert.True(t, ok)
	assert.Equal(t, plan, got)
	for _, name := range []string{"ci", "docs", "worker", "workers", "workers-1"} {
		_, ok := c.Session(name)
		assert.False(t, ok, name)
	}
	var names []string
	for _, s := range c.AllSessions() {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"reviewer", "builder", "tester", "writer", "editor"}, names)
	_, ok = c.Template("workers")
	assert.False(t, ok)
	_, ok = c.Pool("worker")
	assert.False(t, ok)
	pool, ok := c.Pool("workers")
	assert.True(t, ok)
	assert.Equal(t, c.Pools[0], pool)
}

// What supervises is not handed down, what sessions start from is.
func TestGroupsStartFromDefaults(t *testing.T) {
	c := mustParse(t, `
supervisors:    # before the defaults: the order does not matter
  outer:
    strategy: one_for_all
    max_restarts: 9
    backoff: {initial: 0s}
    sessions: {a: , b: {model: null}}
    supervisors: {inner: {sessions: {c: {max_turns: 1}}}, empty: , tilde: ~}
  next: {strategy: ~, max_restarts: null, backoff: null, sessions: , supervisors: }
supervisor: {strategy: rest_for_one, max_restarts: 7, max_seconds: 70, backoff: {initial: 7s}}
defaults: {model: haiku, max_turns: 5}
`)
	unsaid := defaultSupervisor()
	assert.Equal(t, []Group{
		{
			Name:       "outer",
			Supervisor: changed(func(s *Supervisor) { s.Strategy, s.MaxRestarts, s.Backoff.Initial = supervisor.OneForAll, 9, 0 }),
			Sessions:   []Session{{"a", session.Options{Model: "haiku", MaxTurns: 5}}, {"b", session.Options{MaxTurns: 5}}},
			Supervisors: []Group{
				{Name: "inner", Supervisor: unsaid, Sessions: []Session{{"c", session.Options{Model: "haiku", MaxTurns: 1}}}},
				{Name: "empty", Supervisor: unsaid},
				{Name: "tilde", Supervisor: unsaid},
			},
		},
		{Name: "next", Supervisor: unsaid},
	}, c.Supervisors)
	assert.Equal(t, supervisor.RestForOne, c.Supervisor.Strategy)
}

// A name may be taken again on another level, if it is no session's; templates are apart.
func TestSiblingsOnDifferentLevels(t *testing.T) {
	c := mustParse(t, `
sessions: {ci: }
supervisors: {a: {sessions: {a: , b: }, supervisors: {ci: {supervisors: {a: }}}}}
templates: {a: , ci: , p: }
pools: {p: {template: p}, p-1: {options: }, q: {min: 3}, r: {max: 4}, s: {template: null, options: null, min: ~}}
`)
	for i, want := range [][2]int{{1, 1}, {1, 1}, {3, 3}, {1, 4}, {1, 1}} {
		assert.Equal(t, want, [2]int{c.Pools[i].Min, c.Pools[i].Max}, c.Pools[i].Name)
		assert.Equal(t, 5*time.Minute, c.Pools[i].IdleTimeout)
		assert.Zero(t, c.Pools[i].MaxQueue)
	}
	// p has p-1 and p-1 has p-1-1; r has r-4 and no more.
	mustParse(t, "pools: {r: {max: 4}}\nsessions: {r-0: , r-5: , r-04: , r-: , r-4x: }")
}

func TestPoolsAndTemplatesShareNothing(t *testing.T) {
	c := mustParse(t, `
defaults: {env: {A: a}, tools: [Read]}
templates: {t: {env: {B: b}}}
pools: {p: {template: t}, q: {template: t}, r: {options: {env: {C: c}}}, s: }
supervisors: {g: {sessions: {a: , b: }}}
`)
	all := []session.Options{c.Defaults, c.Templates[0].Options, c.Supervisors[0].Sessions[0].Options, c.Supervisors[0].Sessions[1].Options}
	for _, p := range c.Pools {
		all = append(all, p.Options)
	}
	want := []string{"A", "A B", "A", "A", "A B", "A B", "A C", "A"}
	for i, o := range all {
		var names []string
		for _, name := range []string{"A", "B", "C", "mine"} {
			if _, ok := o.Env[name]; ok {
				names = append(names, name)
			}
		}
		assert.Equal(t, want[i], strings.Join(names, " "))
		assert.Equal(t, []string{"Read"}, o.Tools)
		o.Env["mine"], o.Tools[0] = "x", "changed"
	}
}

// Groups nest by their text, and by aliases deeper than that; neither may take more than it says.
func TestGroupsDoNotBlowUp(t *testing.T) {
	nested := func(depth int) string {
		return strings.Repeat("{supervisors: {g: ", depth) + "{sessions: {s: }}" + strings.Repeat("}}", depth)
	}
	c := mustParse(t, nested(16))
	assert.Len(t, c.AllSessions(), 1)
	_, err := Parse("/x", []byte(nested(17)), nil)
	assert.EqualError(t, err, "/x:1:304: "+strings.Repeat("supervisors.g.", 16)+"supervisors.g: groups nested deeper than 16 levels")

	var chain, tree, wide strings.Builder
	chain.WriteString("supervisors:\n  g0: &g0 {}\n")
	tree.WriteString("supervisors:\n  g0: &g0 {}\n")
	for i := 1; i < 1000; i++ {
		fmt.Fprintf(&chain, "  g%d: &g%d {supervisors: {g: *g%d}}\n", i, i, i-1)
		fmt.Fprintf(&tree, "  g%d: &g%d {supervisors: {a: *g%d, b: *g%d, c: *g%d, d: *g%d}}\n", i, i, i-1, i-1, i-1, i-1)
	}
	wide.WriteString("defaults: {model: x, env: {" + manyKeys(1000) + "}}\nsupervisors:\n")
	for i := range 1000 {
		fmt.Fprintf(&wide, "  g%d: {sessions: {s%d: }}\n", i, i)
	}
	for text, want := range map[string]string{
		chain.String(): "groups nested deeper than 16 levels",
		tree.String():  "more values of this file than are accepted",
		wide.String():  "more values of this file than are accepted",
		"pools:\n" + sessions(1000, "{min: 1000}") + "defaults: {env: {" + manyKeys(1000) + "}}\n": "more values of this file than are accepted",
	} {
		_, err := Parse("/x", []byte(text), nil)
		require.Error(t, err)
		assert.Contains(t, err.Error(), want)
		assert.Less(t, len(err.Error()), 400_000)
	}
	// The longest names in every place.
	long := strings.Repeat("x", 1000)
	_, err = Parse("/x", []byte("supervisors: {"+long+": {supervisors: {"+long+": {sessions: {"+long+": {modle: x}}}}}}"), nil)
	assert.Len(t, err, 4)
	assert.Less(t, len(err.Error()), 2000)
}

// A pool of several sessions cannot have one conversation.
func TestPoolsAndConversations(t *testing.T) {
	for text, want := range map[string]string{
		"pools: {p: {max: 2, options: {resume: x}}}":                         "pools.p.options.resume",
		"pools: {p: {min: 2, options: {continue: true}}}":                    "pools.p.options.continue",
		"pools: {p: {max: 2, template: t}}\ntemplates: {t: {from_pr: '12'}}": "pools.p.template",
		"pools: {p: {max: 2}}\ndefaults: {continue: true}":                   "pools.p",
	} {
		_, err := Parse("/etc/x.yaml", []byte(text), nil)
		require.Error(t, err, text)
		assert.ErrorContains(t, err, want, text)
		assert.ErrorContains(t, err, "fork_session", text)
	}
	mustParse(t, "pools: {p: {options: {resume: x}}, q: {max: 2, options: {resume: x, fork_session: true}}}")
}

func TestWarmTemplates(t *testing.T) {
	_, err := Parse("/etc/x", []byte(`version: 1
templates:
  fine: {warm: 2}
  none: {warm: null}
  many: {warm: 1001}
  word: {warm: some}
  less: {warm: -1}
  kept:
    warm: 1
    isolate_home: true
  owned:
    session_id: 00000000-0000-4000-8000-000000000001
    warm: 1
sessions:
  lost: {warm: 1}
`), nil)
	require.Error(t, err)
	for _, want := range []string{
		"5:16: templates.many.warm", "expected 0 to 1000", "templates.word.warm", "templates.less.warm",
		"templates.kept.warm", "processes cannot wait with isolate_home", "processes cannot wait with session_id", "sessions.lost.warm",
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "templates.fine")
	assert.NotContains(t, err.Error(), "templates.none")
}

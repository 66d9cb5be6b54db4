package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/process"
)

func TestParseRule(t *testing.T) {
	for text, want := range map[string]Rule{
		"Read":                       {Tool: "Read"},
		"Task":                       {Tool: "Agent"},
		"Bash(git:*)":                {Tool: "Bash", Of: "git:*"},
		"Bash(npm run *)":            {Tool: "Bash", Of: "npm run *"},
		"Bash(echo (a))":             {Tool: "Bash", Of: "echo (a)"},
		"Bash(a, b c)":               {Tool: "Bash", Of: "a, b c"},
		"Write(*)":                   {Tool: "Write", Bounded: true},
		"Read(/app/**)":              {Tool: "Read", Of: "/app/**"},
		"Read(//srv/**)":             {Tool: "Read", Of: "//srv/**"},
		"WebFetch(domain:go.dev)":    {Tool: "WebFetch", Of: "domain:go.dev"},
		"mcp__github__get_issue":     {Tool: "mcp__github__get_issue"},
		"mcp__github":                {Tool: "mcp__github"},
		"mcp__github__*":             {Tool: "mcp__github__*"},
		"Skill(review-pr)":           {Tool: "Skill", Of: "review-pr"},
		`Bash(python -c "print(1)")`: {Tool: "Bash", Of: `python -c "print(1)"`},
	} {
		got, err := ParseRule(text)
		require.NoError(t, err, text)
		want.text = text
		assert.Equal(t, want, got, text)
		assert.Equal(t, text, got.String())
	}
	for text, want := range map[string]string{
		"":                          "the name of a tool",
		"  ":                        "the name of a tool",
		"Read,Write":                "one tool or rule",
		"Read Write":                "one tool or rule",
		"Bash(a (b), Write, c (d))": "one tool or rule", // three, of which one allows Write
		"Bash(git":                  "balanced parentheses",
		"Bash)":                     "balanced parentheses",
		"Bash(git:*)x":              "balanced parentheses",
		"(git:*)":                   "before the parenthesis",
		"Bash()":                    "nothing in the parentheses",
		"Bash( )":                   "nothing in the parentheses",
		"Bash(:*)":                  "no command before :*",
		"mcp__github__get(x)":       "no parentheses",
		"WebFetch(https://go.dev)":  "WebFetch(domain:HOST)",
		"WebSearch(a*)":             "no wildcards",
		"Read(src:*)":               ":* is for commands only",
		"Ba$h":                      "not the name of a tool",
		"Read\nWrite":               "one line",
		"Bash(" + strings.Repeat("x", 5000) + ")": "5006 bytes",
	} {
		_, err := ParseRule(text)
		assert.ErrorContains(t, err, want, text)
	}
}

func TestReviewRules(t *testing.T) {
	on := Sandbox{Enabled: new(true)}
	for _, test := range []struct {
		name string
		o    Options
		want []string // "list[i] trouble: part of why"
	}{
		{"a guide's analysis agent", Options{AllowedTools: []string{"Read", "Glob", "Grep"}}, nil},
		{"exact commands", Options{AllowedTools: []string{"Bash(make test)", "Bash(git log:*)", "Bash(git diff --stat:*)", "Bash(npm run lint)"}}, nil},
		{"every command", Options{AllowedTools: []string{"Bash"}}, []string{"allowed_tools[0] allows more than it seems: any command"}},
		{"the same in other words", Options{AllowedTools: []string{"Bash(*)", "Bash(sh:*)", "Bash(/bin/bash -c *)", "Bash(env:*)", "Bash(FOO=1 sudo:*)", "Bash(python3:*)", "Bash(xargs *)"}}, []string{
			"allowed_tools[0] allows more than it seems: any command", "allowed_tools[1] allows more than it seems: a shell",
			"allowed_tools[2] allows more than it seems: a shell", "allowed_tools[3] allows more than it seems: the command that is given",
			"allowed_tools[4] allows more than it seems: a shell", "allowed_tools[5] allows more than it seems: an interpreter",
			"allowed_tools[6] allows more than it seems: the command that is given",
		}},
		{"options that run programs", Options{AllowedTools: []string{"Bash(git:*)", "Bash(git config:*)", "Bash(find:*)", "Bash(find . -name:*)", "Bash(tar *)", "Bash(curl:*)", "Bash(mix:*)", "Bash(go test:*)"}}, []string{
			"allowed_tools[0] allows more than it seems: hooks", "allowed_tools[1] allows more than it seems: this part of git",
			"allowed_tools[2] allows more than it seems: -exec", "allowed_tools[3] allows more than it seems: -exec",
			"allowed_tools[4] allows more than it seems: --checkpoint-action", "allowed_tools[5] allows more than it seems: carries away",
			"allowed_tools[6] allows more than it seems: repository", "allowed_tools[7] allows more than it seems: repository",
		}},
		{"files everywhere", Options{AllowedTools: []string{"Write", "Edit", "Write(*)"}, ConfineFiles: new(false)}, []string{
			"allowed_tools[0] allows more than it seems: outside of the working directories", "allowed_tools[1] allows more than it seems: outside",
		}},
		{"files in the working directories", Options{AllowedTools: []string{"Write", "Edit"}}, nil},
		{"whole servers", Options{AllowedTools: []string{"mcp__github", "mcp__github__*", "mcp__github__get_issue"}}, []string{
			"allowed_tools[0] allows more than it seems: every tool", "allowed_tools[1] allows more than it seems: every tool",
		}},
		{"the web", Options{AllowedTools: []string{"WebFetch", "WebFetch(domain:*)", "WebFetch(domain:go.dev)"}}, []string{
			"allowed_tools[0] allows more than it seems: any address", "allowed_tools[1] allows more than it seems: any address",
		}},
		{"nothing matches", Options{AllowedTools: []string{"bash", "Reed", "Write(src/**)", "Glob(src/**)", "mcp__*", "*", "Bash(npm *:*)", "Bash(npm:* run)", "Read(/app/**)", "Edit(/srv/work/x)"}, CWD: "/srv/work"}, []string{
			"allowed_tools[0] matches nothing: no tool", "allowed_tools[1] matches nothing: no tool", "allowed_tools[2] matches nothing: Edit",
			"allowed_tools[3] matches nothing: Read", "allowed_tools[4] matches nothing: wildcard", "allowed_tools[5] matches nothing: wildcard",
			"allowed_tools[6] matches nothing: a star is a star", "allowed_tools[7] matches nothing: not at the end",
			"allowed_tools[8] matches nothing: one slash", "allowed_tools[9] matches nothing: one slash",
		}},
		{"tools that are not there", Options{Tools: []string{"Read", "Task"}, AllowedTools: []string{"Read", "Agent", "Write"}}, []string{"allowed_tools[2] matches nothing: not among tools"}},
		{"rules where names are wanted", Options{Tools: []string{"Bash(git:*)"}}, []string{"tools[0] matches nothing: no rules"}},
		{"denying wins", Options{AllowedTools: []string{"Bash(git push:*)", "mcp__x__y", "Read(src/a/**)", "Bash(make test)"}, DisallowedTools: []string{"Bash(git:*)", "mcp__x", "Read(/src/**)", "Bash(make)"}, Sandbox: on}, []string{
			"allowed_tools[0] contradicted: Bash(git:*)", "allowed_tools[1] contradicted: mcp__x", "allowed_tools[2] contradicted: Read(/src/**)",
		}},
		{"a deny that others get around", Options{AllowedTools: []string{"Bash(sh:*)"}, DisallowedTools: []string{"Bash(rm:*)", "Read(.env)", "Write"}}, []string{
			"allowed_tools[0] allows more than it seems: a shell", "disallowed_tools[0] denies less than it seems: in other words",
			"disallowed_tools[1] denies less than it seems: Bash reads", "disallowed_tools[2] denies less than it seems: Bash writes",
		}},
		{"a deny that holds", Options{AllowedTools: []string{"Bash(git log:*)"}, DisallowedTools: []string{"Bash(rm:*)", "Bash"}}, []string{"allowed_tools[0] contradicted: Bash"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, f := range ReviewRules(test.o) {
				got = append(got, fmt.Sprintf("%s[%d] %s: %s", f.List, f.Index, f.Trouble, f.Why))
				assert.NotEmpty(t, f.Fix)
				assert.NotEmpty(t, f.Rule)
			}
			require.Len(t, got, len(test.want), "%q", got)
			for i, want := range test.want {
				head, part, _ := strings.Cut(want, ": ")
				assert.True(t, strings.HasPrefix(got[i], head+": "), "%s\n%s", got[i], want)
				assert.Contains(t, got[i], part)
			}
		})
	}
}

// What is accepted as one rule is one rule for the CLI, and a list of them is that list.
func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"Read", "Bash(git:*)", "Bash(a (b), Write, c (d))", "mcp__a__b", "Read(/app/**)", "Bash(", ")(", "Bash(a)b)", " Read", "Bash(a b)", "WebFetch(domain:x)", "Write(*)"} {
		f.Add(s, "Write")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		first, err := ParseRule(a)
		if err != nil {
			return
		}
		require.Equal(t, []string{a}, process.SplitRules(a))
		require.Equal(t, []string{a, "Read"}, process.SplitRules(a+",Read"))
		require.NotEmpty(t, first.Tool)
		require.True(t, first.Covers(first))
		o := Options{AllowedTools: []string{a}}
		if second, err := ParseRule(b); err == nil {
			require.Equal(t, []string{a, b}, process.SplitRules(a+","+b))
			o.DisallowedTools = []string{b}
			if second.Covers(first) {
				require.True(t, slices.ContainsFunc(ReviewRules(o), func(f RuleFinding) bool { return f.Trouble == RuleContradicted || f.Trouble == RuleMatchesNothing }))
			}
		}
		require.NoError(t, Options{AllowedTools: []string{a}}.Validate())
		for _, finding := range ReviewRules(o) {
			require.NotEmpty(t, finding.Fix)
		}
	})
}

package understudy_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// TestWhoDecided has the real CLI decide about tools by everything that can decide, and compares what the audit log has of it: in the
// decision, and in the result where there is one.
func TestWhoDecided(t *testing.T) {
	type decided struct {
		call   string
		want   audit.Decision // without the reason
		reason string         // a part of it
		answer *session.ApprovalAnswer
	}
	allow := func(by string, rules ...string) audit.Decision { return ruled(audit.Allow, by, rules) }
	deny := func(by string, rules ...string) audit.Decision { return ruled(audit.Deny, by, rules) }
	for name, test := range map[string]struct {
		spec func(*rig)
		uses func(*rig) []decided
	}{
		"rules, and a mode that denies the rest": {
			spec: func(r *rig) {
				r.spec.PermissionMode = protocol.ModeDontAsk
				r.spec.AllowedTools = []string{"Bash(mkdir:*)", "Bash(touch:*)", "Edit(open/**)"}
				r.spec.DisallowedTools = []string{"Bash(rm:*)", "Bash(rm -r:*)", "Read(closed/**)"}
			},
			uses: func(r *rig) []decided {
				return []decided{
					{call: bash("mkdir made"), want: allow("rule", "Bash(mkdir:*)")},
					{call: bash("mkdir more && touch more/x"), want: allow("rule", "Bash(mkdir:*)", "Bash(touch:*)")},
					{call: bash("rm x"), want: deny("rule", "Bash(rm:*)")},
					{call: bash("rm -r x"), want: deny("rule", "Bash(rm:*)", "Bash(rm -r:*)")},
					{call: writes(filepath.Join(r.work, "open", "x")), want: allow("rule", "Edit(open/**)")},
					{call: reads(filepath.Join(r.work, "closed", "x")), want: deny("rule", "Read(closed/**)")},
					{call: writes(filepath.Join(r.work, "x")), want: deny("mode"), reason: "dontAsk"},
				}
			},
		},
		"a mode that allows, and hooks": {
			spec: func(r *rig) {
				r.spec.PermissionMode, r.spec.AllowedTools, r.spec.PermissionPrompts = protocol.ModeAcceptEdits, nil, session.PromptsNone
				r.spec.DisallowedTools = []string{"Bash(make clean)"}
				r.spec.Hooks.PreToolUse = []session.Hook[protocol.PreToolUseInput, protocol.PreToolUseOutput]{{Matcher: "Bash", Call: func(_ context.Context, in protocol.PreToolUseInput) (protocol.PreToolUseOutput, error) {
					switch command := bashOf(in.ToolInput); {
					case strings.HasPrefix(command, "curl"):
						return protocol.PreToolUseOutput{Decision: protocol.DecisionDeny, Reason: "not this one"}, nil
					case strings.HasPrefix(command, "make"):
						return protocol.PreToolUseOutput{Decision: protocol.DecisionAllow, Reason: "well known"}, nil
					}
					return protocol.PreToolUseOutput{}, nil
				}}}
			},
			uses: func(r *rig) []decided {
				return []decided{
					{call: writes(filepath.Join(r.work, "x")), want: allow("mode"), reason: "acceptEdits"},
					{call: bash("curl http://127.0.0.1:1/"), want: deny("hook"), reason: "not this one"},
					{call: bash("make --version"), want: allow("hook"), reason: "well known"},
					{call: bash("wget http://127.0.0.1:1/"), want: deny("default")},
					{call: bash("ls"), want: allow("default")},
					{call: bash("make clean"), want: deny("rule", "Bash(make clean)")}, // whatever the hook wants
				}
			},
		},
		"a callback": {
			spec: func(r *rig) {
				r.spec.AllowedTools = nil
				r.spec.CanUseTool = func(_ context.Context, q *protocol.CanUseTool) (protocol.PermissionResult, error) {
					switch command := bashOf(q.Input); {
					case strings.Contains(command, "please"):
						return protocol.Allowed(q), nil
					case strings.Contains(command, "panic"):
						panic("a bug")
					}
					return protocol.NewDeny("no")
				}
			},
			uses: func(*rig) []decided {
				return []decided{
					{call: bash("touch please"), want: allow("callback")},
					{call: bash("touch x"), want: deny("callback"), reason: "no"},
					{call: bash("touch panic"), want: deny("default"), reason: "a bug"},
				}
			},
		},
		"an operator": {
			spec: func(r *rig) { r.spec.AllowedTools = nil },
			uses: func(*rig) []decided {
				return []decided{
					{call: bash("touch please"), want: allow("operator"), answer: &session.ApprovalAnswer{Allow: true, By: "ann"}},
					{call: bash("touch x"), want: deny("operator"), reason: "not today", answer: &session.ApprovalAnswer{Message: "not today", By: "ann"}},
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true)
			for _, dir := range []string{"open", "closed"} {
				require.NoError(t, os.Mkdir(filepath.Join(r.work, dir), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(r.work, dir, "x"), []byte("text\n"), 0o600))
			}
			test.spec(r)
			ends := make(chan session.ToolEvent, 1)
			r.spec.ToolCallback = func(e session.ToolEvent) { ends <- e }
			r.boot()
			for _, use := range test.uses(r) {
				turn := r.background(use.call)
				if use.answer != nil {
					require.NoError(t, r.rt.Answer(r.within(), r.pending().ID, *use.answer))
				}
				require.NoError(t, turn.wait(t))
				story := r.settled((<-ends).ToolUseID)
				// Of a path that a rule denies the CLI asks no hook: such a use has no intent, and what was tried is in the result.
				require.GreaterOrEqual(t, len(story), 2, use.call)
				if last := story[len(story)-1]; story[0].Kind != audit.ToolIntent {
					assert.Equal(t, audit.Deny, last.Outcome)
					assert.Equal(t, false, last.Detail["intent_recorded"])
					assert.Contains(t, string(last.Input), "closed")
				} else {
					assert.Empty(t, last.Input, "it is in the intent")
				}
				for i, record := range story {
					assert.NoError(t, audit.Check(record))
					assert.Equal(t, []audit.Kind{audit.ToolIntent, audit.ToolDecision, audit.ToolResult}[i+3-len(story)], record.Kind)
					if record.Kind == audit.ToolIntent {
						continue
					}
					require.NotNil(t, record.Decision, use.call)
					got := *record.Decision
					assert.Contains(t, got.Reason, use.reason, use.call)
					got.Reason = ""
					assert.Equal(t, use.want, got, "%s: %s", use.call, record.Kind)
				}
				if answered := r.records(audit.ApprovalAnswered); use.answer != nil {
					last := answered[len(answered)-1]
					assert.Equal(t, "ann", last.Principal)
					assert.Equal(t, use.want.Outcome, last.Decision.Outcome)
				}
			}
		})
	}
}

// ruled is a decision, by these rules if there are any.
func ruled(outcome audit.Outcome, by string, rules []string) audit.Decision {
	d := audit.Decision{Outcome: outcome, By: by}
	if len(rules) == 1 {
		d.Rule = rules[0]
	} else {
		d.Rules = rules
	}
	return d
}

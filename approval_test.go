package understudy_test

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
)

// both plays scenarios to the simulated CLI and to the real one, as TestConformance does.
func both(t *testing.T, scenarios map[string]func(*rig)) {
	for name, run := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for cli, realCLI := range map[string]bool{"sim": false, "real": true} {
				t.Run(cli, func(t *testing.T) {
					t.Parallel()
					run(newRig(t, realCLI))
				})
			}
		})
	}
}

// TestApprovals has people answer what the CLI asks.
func TestApprovals(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){
		"answered in every way":                 approvalsAnswered,
		"withdrawn by a crash":                  approvalWithdrawnByCrash,
		"withdrawn by an interrupt and a stop":  approvalWithdrawnByRequest,
		"nobody answers":                        approvalTimesOut,
		"the agent's own question gets answers": agentQuestion,
		"a shutdown withdraws":                  approvalAtShutdown,
	})
}

// pending waits for the one approval.
func (r *rig) pending() session.Approval {
	r.Helper()
	var all []session.Approval
	r.until("a question waits", func() bool { all = r.rt.Approvals(); return len(all) == 1 })
	return all[0]
}

func approvalsAnswered(r *rig) {
	r.spec.AllowedTools = nil
	r.boot()
	answer := func(file string, with session.ApprovalAnswer) session.Approval {
		r.Helper()
		q := r.background(bash("touch " + file))
		a := r.pending()
		require.NoError(r, r.rt.Answer(r.within(), a.ID, with))
		require.NoError(r, q.wait(r.T))
		assert.Empty(r, r.rt.Approvals())
		return a
	}
	a := answer("allowed", session.ApprovalAnswer{Allow: true, By: "ann"})
	assert.True(r, exists(filepath.Join(r.work, "allowed")))
	assert.Equal(r, "worker", a.Session)
	assert.Equal(r, "Bash", a.Tool)
	assert.Equal(r, "touch allowed", a.Argument)
	assert.JSONEq(r, `{"command":"touch allowed"}`, string(a.Input))
	assert.Equal(r, r.Info().SessionID, a.SessionID)
	assert.NotEmpty(r, a.Suggestions)
	assert.Equal(r, session.DefaultPermissionTimeout, a.ExpiresAt.Sub(a.AskedAt))

	err := r.rt.Approve(r.within(), a.ID)
	require.ErrorIs(r, err, session.ErrNoApproval, "answered twice")
	assert.ErrorContains(r, err, "it was allowed by ann")
	err = r.rt.Deny(r.within(), "unknown", "")
	assert.ErrorIs(r, err, session.ErrNoApproval)

	second := answer("denied", session.ApprovalAnswer{Message: "not on a Friday"})
	assert.NotEqual(r, a.ID, second.ID)
	assert.False(r, exists(filepath.Join(r.work, "denied")))

	answer("original", session.ApprovalAnswer{Allow: true, Input: json.RawMessage(`{"command":"touch changed"}`)})
	assert.False(r, exists(filepath.Join(r.work, "original")), "the changed input is what runs")
	assert.True(r, exists(filepath.Join(r.work, "changed")))

	q := r.background(bash("touch always"))
	a = r.pending()
	for text, wrong := range map[string]session.ApprovalAnswer{
		"no JSON object":    {Allow: true, Input: json.RawMessage(`[1]`)},
		"go with a denial":  {Allow: true, Message: "no"},
		"asks no questions": {Allow: true, Answers: map[string]string{"q": "a"}},
		"a denial has no":   {Input: json.RawMessage(`{}`)},
	} {
		err := r.rt.Answer(r.within(), a.ID, wrong)
		require.ErrorIs(r, err, session.ErrBadAnswer)
		assert.ErrorContains(r, err, text)
	}
	require.NoError(r, r.rt.Answer(r.within(), a.ID, session.ApprovalAnswer{Allow: true, Permissions: a.Suggestions}), "it waited on")
	require.NoError(r, q.wait(r.T))

	tree, err := r.rt.Tree(r.within())
	require.NoError(r, err)
	node, _ := tree.Session("worker")
	assert.Zero(r, node.Approvals)
	r.until("all is in the audit log", func() bool { return len(r.records(audit.ApprovalAnswered)) == 4 })
	asked, answered := r.records(audit.ApprovalAsked), r.records(audit.ApprovalAnswered)
	require.Len(r, asked, 4)
	assert.Equal(r, "ann", answered[0].Principal)
	assert.Equal(r, audit.Allow, answered[0].Decision.Outcome)
	assert.Equal(r, audit.Deny, answered[1].Decision.Outcome)
	assert.Equal(r, "not on a Friday", answered[1].Decision.Reason)
	assert.Equal(r, asked[0].Detail["approval_id"], answered[0].Detail["approval_id"])
}

func approvalWithdrawnByCrash(r *rig) {
	r.spec.AllowedTools = nil
	r.boot()
	q := r.background(bash("touch file"))
	a := r.pending()
	tree, err := r.rt.Tree(r.within())
	require.NoError(r, err)
	node, _ := tree.Session("worker")
	assert.Equal(r, 1, node.Approvals)
	r.kill()
	var crash *session.CrashError
	require.ErrorAs(r, q.wait(r.T), &crash)
	r.until("the question is gone", func() bool { return len(r.rt.Approvals()) == 0 })
	err = r.rt.Approve(r.within(), a.ID)
	require.ErrorIs(r, err, session.ErrNoApproval)
	assert.ErrorContains(r, err, "withdrawn: the process that asked has ended")
	r.until("that is in the audit log", func() bool { return len(r.records(audit.ApprovalAnswered)) == 1 })
	assert.Contains(r, r.records(audit.ApprovalAnswered)[0].Decision.Reason, "withdrawn")
	assert.False(r, exists(filepath.Join(r.work, "file")))
	var told []session.MomentKind
	for m, err := range r.Follow(r.within(), 0) {
		require.NoError(r, err)
		if m.Kind == session.PermissionAsked || m.Kind == session.PermissionNone {
			told = append(told, m.Kind)
		}
		if m.Kind == session.PermissionNone {
			break
		}
	}
	assert.Equal(r, []session.MomentKind{session.PermissionAsked, session.PermissionNone}, told)
}

func approvalWithdrawnByRequest(r *rig) {
	r.spec.AllowedTools = nil
	r.boot()
	q := r.background(bash("touch file"))
	a := r.pending()
	require.NoError(r, r.Interrupt(r.within()))
	require.ErrorIs(r, q.wait(r.T), session.ErrInterrupted)
	assert.Empty(r, r.rt.Approvals())
	assert.ErrorContains(r, r.rt.Approve(r.within(), a.ID), "after an interrupt")

	q = r.background(bash("touch file"))
	a = r.pending()
	require.NoError(r, r.rt.Stop(r.within(), "worker"))
	require.Error(r, q.wait(r.T))
	assert.Empty(r, r.rt.Approvals())
	assert.ErrorIs(r, r.rt.Approve(r.within(), a.ID), session.ErrNoApproval)
	assert.False(r, exists(filepath.Join(r.work, "file")))
}

func approvalTimesOut(r *rig) {
	r.spec.AllowedTools = nil
	r.spec.PermissionTimeout = 300 * time.Millisecond
	r.boot()
	answer := r.mustAsk(bash("touch file"))
	assert.Len(r, answer.Result.PermissionDenials, 1)
	assert.False(r, exists(filepath.Join(r.work, "file")))
	r.until("the denial is in the audit log", func() bool { return len(r.records(audit.ApprovalAnswered)) == 1 })
	assert.Equal(r, "default", r.records(audit.ApprovalAnswered)[0].Decision.By)
	id, _ := r.records(audit.ApprovalAsked)[0].Detail["approval_id"].(string)
	assert.ErrorContains(r, r.rt.Approve(r.within(), id), "nobody answered within 300ms")
}

func agentQuestion(r *rig) {
	r.boot()
	const question = `{"questions":[{"question":"Which database?","header":"Database","multiSelect":false,"options":[` +
		`{"label":"Postgres","description":"the usual"},{"label":"SQLite","description":"a file"}]}]}`
	q := r.background("[[tool:AskUserQuestion " + question + "]]")
	a := r.pending()
	require.Len(r, a.Questions, 1)
	assert.Equal(r, "Which database?", a.Questions[0].Question)
	assert.Equal(r, "SQLite", a.Questions[0].Options[1].Label)
	err := r.rt.Approve(r.within(), a.ID)
	require.ErrorIs(r, err, session.ErrBadAnswer, "it needs an answer")
	assert.ErrorContains(r, err, `no answer to "Which database?"`)
	err = r.rt.Answer(r.within(), a.ID, session.ApprovalAnswer{Allow: true, Answers: map[string]string{"Which database?": "SQLite", "Why?": "x"}})
	assert.ErrorContains(r, err, "none of the questions")
	require.NoError(r, r.rt.Answer(r.within(), a.ID, session.ApprovalAnswer{Allow: true, Answers: map[string]string{"Which database?": "SQLite"}}))
	require.NoError(r, q.wait(r.T))
	var output string
	r.until("the answer is the tool's result", func() bool {
		for _, record := range r.records(audit.ToolResult) {
			if record.Tool == "AskUserQuestion" {
				output = string(record.Output)
			}
		}
		return output != ""
	})
	assert.Equal(r, `"Your questions have been answered: \"Which database?\"=\"SQLite\". You can now continue with these answers in mind."`, output)
}

func approvalAtShutdown(r *rig) {
	r.spec.AllowedTools = nil
	r.boot()
	q := r.background(bash("touch file"))
	a := r.pending()
	shutdown(r.T, r.rt)
	require.Error(r, q.wait(r.T))
	assert.Empty(r, r.rt.Approvals())
	assert.Error(r, r.rt.Approve(r.within(), a.ID))
	assert.False(r, exists(filepath.Join(r.work, "file")))
}

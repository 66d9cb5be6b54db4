package session

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// about fills in whose record it is.
func (l *loop) about(r audit.Record) audit.Record {
	kept, _ := l.desk.snapshot()
	r.Actor, r.Session, r.SessionID, r.Generation = l.session.spec.Path, l.session.name, kept.SessionID, kept.Generation
	r.Policy = l.policy.of(l.options, kept)
	if r.Turn == 0 && l.turns.open {
		r.Turn = kept.Turns + 1
	}
	return r
}

// audit records what need not be durable before something else happens.
func (l *loop) audit(r audit.Record) {
	if trail := l.session.spec.Audit; trail != nil {
		trail.Post(l.about(r))
	}
}

// auditFirst has a record made durable and sends what the outcome makes of it. Without a log, or with one that
// holds nothing up, that is at once.
func (l *loop) auditFirst(c *actor.Context[message], what string, r audit.Record, kept func(error) message) {
	trail := l.session.spec.Audit
	if trail == nil || trail.Mode() == audit.BestEffort {
		l.audit(r)
		c.Post(kept(nil))
		return
	}
	r = l.about(r)
	c.Go(what, func(ctx context.Context) message {
		wait := auditWait
		if trail.Health() != nil {
			wait = auditDownWait
		}
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		return kept(trail.Append(ctx, r))
	})
}

// unaudited says why no turn may begin: the log that has to have it cannot be written. nil: it may.
func (s *Session) unaudited() error {
	trail := s.spec.Audit
	if trail == nil || trail.Mode() != audit.Required {
		return nil
	}
	if err := trail.Health(); err != nil {
		return fmt.Errorf("session %s: %w: %w", s.name, ErrAuditUnavailable, err)
	}
	return nil
}

// policy is the digest of the options in force, which change with the model and the permission mode.
type policy struct {
	model  string
	mode   protocol.PermissionMode
	digest string
}

func (p *policy) of(o Options, r record) string {
	if p.digest == "" || p.model != r.Model || p.mode != r.PermissionMode {
		o.Model, o.PermissionMode = cmp.Or(r.Model, o.Model), cmp.Or(r.PermissionMode, o.PermissionMode)
		*p = policy{r.Model, r.PermissionMode, o.Digest()}
	}
	return p.digest
}

// Digest identifies options without showing them: the SHA-256, in hexadecimal, of their JSON with defaults filled in. Of the API
// key, and of variables whose names are those of secrets, only that they are there is in it; of Go functions too.
func (o Options) Digest() string {
	o = o.withDefaults()
	o.Env = maps.Clone(o.Env)
	for name := range o.Env {
		if process.SecretName(name) {
			o.Env[name] = redacted
		}
	}
	data, err := json.Marshal(struct {
		Options
		CanUseTool   bool `json:"can_use_tool"`
		ToolCallback bool `json:"tool_callback"`
	}{o, o.CanUseTool != nil, o.ToolCallback != nil})
	if err != nil { // a value in Sandbox or Settings that is no JSON: it could not be given to the CLI either
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// command is what a process was started with: its arguments, and the names of its environment.
type command struct{ args, env []string }

// auditStarted records what the process was started with. It holds no secret.
func (l *loop) auditStarted(id process.Identity) {
	cwd, err := filepath.Abs(l.options.CWD)
	if err != nil {
		cwd = l.options.CWD
	}
	detail := map[string]any{
		"argv": l.command.args, "env": l.command.env, "cwd": cwd, "pid": l.process.PID(), "resumed": l.resumed,
		"cli": cmp.Or(id.Path, l.session.spec.CLI.Path), "cli_version": id.Version, "cli_sha256": id.SHA256, "containment": l.process.Containment(),
	}
	if l.waitedAs != "" {
		detail["waited_as"] = l.waitedAs
	}
	if box := l.options.Sandbox.settings(); box != nil {
		detail["sandbox"] = box
	}
	l.audit(audit.Record{Kind: audit.SessionStarted, Detail: detail})
}

// promptDigest identifies a prompt without showing it.
func promptDigest(prompt protocol.Content) map[string]any {
	data := []byte(prompt.Text())
	detail := map[string]any{}
	if !prompt.IsText() {
		data, _ = prompt.MarshalJSON() // it was written before
		detail["prompt_blocks"] = len(prompt.Blocks())
	}
	sum := sha256.Sum256(data)
	detail["prompt_sha256"], detail["prompt_bytes"] = hex.EncodeToString(sum[:]), len(data)
	return detail
}

// cliDecision is what the CLI says about a tool use in the words of the audit log: who allowed or denied it, and by which of the
// configured rules. That the CLI does not say (not in frames, nor to hooks, nor in its telemetry): it is the one that fits, or those.
func (l *loop) cliDecision(use *toolUse, denied bool, source, reasonType, reason string) *audit.Decision {
	d := &audit.Decision{Outcome: audit.Allow, By: "default", Reason: reason}
	if denied {
		d.Outcome = audit.Deny
	}
	switch {
	case source == "hook" || reasonType == "hook":
		d.By = "hook"
	case strings.HasPrefix(source, "user_"):
		d.By = "callback" // the host's answer to the CLI's question
	case reasonType == "mode":
		d.By = "mode"
		d.Reason = string(cmp.Or(l.record.PermissionMode, l.options.PermissionMode))
		if reason != "" {
			d.Reason = strings.TrimPrefix(d.Reason+": "+reason, ": ")
		}
	case reasonType == "rule", reasonType == "subcommandResults":
		// Of a command the CLI says that its parts were looked at, one by one. What is allowed in it without a rule only reads, or
		// the mode allows it.
		fit, exact := rulesFor(l.options.configuredRules(denied), use.name, use.input, l.options.CWD)
		if reasonType != "rule" && !exact {
			break
		}
		d.By = "rule"
		if len(fit) == 1 {
			d.Rule = fit[0]
		} else {
			d.Rules = fit
		}
	}
	if d.Reason == "" && (source != "" || reasonType != "") {
		d.Reason = strings.TrimSuffix("the CLI says: "+source+"/"+reasonType, "/")
	}
	return d
}

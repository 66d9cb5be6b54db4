package session

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/protocol"
)

// about fills in whose record it is.
func (l *loop) about(r audit.Record) audit.Record {
	kept, _ := l.desk.snapshot()
	r.Actor, r.Session, r.SessionID, r.Generation = l.session.spec.Path, l.session.name, kept.SessionID, kept.Generation
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

// auditStarted records what the process was started with: arguments, and names of the environment, which
// hold no secret.
func (l *loop) auditStarted() {
	launch := l.session.launch(l.record)
	argv, err := launch.Argv()
	if err != nil { // it was started with them
		argv = []string{err.Error()}
	}
	var names []string
	for name := range l.options.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	l.audit(audit.Record{Kind: audit.SessionStarted, Detail: map[string]any{
		"argv": strings.Join(argv, " "), "env": names, "cwd": l.options.CWD, "pid": l.process.PID(), "resumed": l.resumed,
		"containment": l.process.Containment(),
	}})
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

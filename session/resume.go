package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"syscall"

	"github.com/google/uuid"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/process"
)

// judgeConversation counts processes that crash on the conversation they resume. One that has crashed
// Options.ResumeAttempts of them in a row would go on to: it is left alone, or left.
func (l *loop) judgeConversation(crash *CrashError) {
	if !l.resumed || l.proven || !incriminates(crash) {
		return
	}
	var failures int
	var id string
	l.desk.update(func(r *record, _ *Info) {
		r.ResumeFailures++
		failures, id = r.ResumeFailures, r.SessionID
	})
	if failures < l.options.ResumeAttempts {
		return
	}
	text := fmt.Sprintf("%d processes in a row crashed on the conversation %s (resume_attempts)", failures, id)
	detail := map[string]any{"conversation": id, "attempts": failures, "on_resume_failure": string(l.options.OnResumeFailure)}
	if l.options.OnResumeFailure == ResumeFresh {
		next := uuid.NewString()
		detail["next_session_id"] = next
		l.session.notice(NoticeResumeFailed, text+": a new one begins, as "+next, detail)
		l.desk.update(func(r *record, info *Info) {
			r.Begun, r.Joined, r.ResumeFailures = false, true, 0
			r.SessionID, info.SessionID = next, next
		})
		return
	}
	crash.Poisoned = true
	l.session.notice(NoticeResumeFailed, text+": the session is parked; restart tries once more", detail)
}

// incriminates reports whether an end may be the conversation's doing. What others do to the process is not, nor what keeps
// it from starting at all.
func incriminates(crash *CrashError) bool {
	switch crash.Exit.Signal {
	case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGABRT, syscall.SIGILL, syscall.SIGFPE, syscall.SIGTRAP, syscall.SIGSYS:
		return true // a process does this to itself
	}
	switch crash.Class {
	case process.ClassCrashed, process.ClassMemory, process.ClassClean, process.ClassProtocol:
		return true
	case process.ClassStopped, process.ClassKilled:
		return crash.Cause != nil // it was ended for a missed deadline, or for garbage
	case process.ClassRequest, process.ClassAuth, process.ClassSessionInUse, process.ClassNoConversation, process.ClassResources:
	}
	return false
}

// digest identifies options without what is secret in them.
func (o Options) digest() string {
	o.APIKey = ""
	o.Env = maps.Clone(o.Env)
	maps.DeleteFunc(o.Env, func(name, _ string) bool { return process.SecretName(name) })
	data, err := json.Marshal(o)
	if err != nil { // settings that are no JSON fail at the start
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// recovered takes what an earlier runtime has left of the session, and says so.
func (s *Session) recovered(kept record, damaged error) {
	if damaged != nil {
		s.notice(NoticeStateDamaged, damaged.Error(), nil)
	}
	digest, cwd := s.spec.Options.digest(), s.spec.Options.CWD
	if len(kept.Running) > 0 {
		kept.Ledger = s.settleRunning(kept)
	}
	if kept.Generation > 0 {
		s.notice(NoticeRecovered, fmt.Sprintf("the session goes on: %d processes, %d turns, %.4f USD so far; conversation %s",
			kept.Generation, kept.Turns, kept.Ledger.Spent, kept.SessionID),
			map[string]any{"generations": kept.Generation, "turns": kept.Turns, "restarts": kept.Restarts, "cost_usd": kept.Ledger.Spent, "queued": len(kept.Queue)})
		switch {
		case kept.CWD != "" && kept.CWD != cwd:
			s.notice(NoticeOptionsChanged, fmt.Sprintf("the conversation goes on in another directory: %q was %q", cwd, kept.CWD), map[string]any{"cwd": cwd, "was": kept.CWD})
		case kept.Options != "" && kept.Options != digest:
			s.notice(NoticeOptionsChanged, "the session goes on under other options", map[string]any{"policy": digest, "was": kept.Options})
		}
		if kept.Begun && s.spec.Options.NoSessionPersistence {
			s.notice(NoticeConversationLost, "the conversation was not kept (no_session_persistence): a new one begins", nil)
		}
	}
	s.desk.update(func(r *record, _ *Info) {
		r.Options, r.CWD, r.Ephemeral, r.Queue = digest, cwd, s.spec.Options.NoSessionPersistence, nil
		r.Budgets = []string{}
		for _, b := range s.spec.Budgets {
			r.Budgets = append(r.Budgets, b.Name())
		}
		if r.Spawned = nil; s.spec.Spawned {
			r.Spawned = s.spec.Options.spawned()
		}
	})
	s.desk.filed = kept.filed()
	s.requeue(kept.Queue)
}

// settleRunning counts what the turn had cost that ran when the runtime was killed. Its process went with it, and nobody has told
// of that. If this runtime is killed before the record is on disk the next one counts the same, and says the same once more.
func (s *Session) settleRunning(kept record) ledger {
	before := kept.Ledger.Spent
	cost := kept.Ledger.charge(kept.Running)
	s.desk.update(func(r *record, info *Info) {
		r.Ledger, r.Running, info.CostUSD = kept.Ledger, nil, kept.Ledger.Spent
	})
	s.recordCut(kept, cost)
	s.spent(before, kept.Ledger.Spent)
	return kept.Ledger
}

func (s *Session) recordCut(kept record, cost float64) {
	s.record(audit.Record{
		Kind: audit.SessionCrashed, Outcome: audit.Killed, CostUSD: cost, Turn: kept.Turns + 1, Detail: map[string]any{"recovered": true},
		Exit: &audit.Exit{Reason: "the runtime was killed during a turn", Code: -1},
	})
}

// requeue has the prompts run again that were to be delivered in any case. Nobody waits for their answers any more: who
// watches the session sees them.
func (s *Session) requeue(queue []queued) {
	lost := 0
	for place, k := range queue {
		if k.Line == "" || !s.spec.Options.Redeliver {
			lost++
			continue
		}
		if k.Attempts >= maxAttempts {
			s.notice(NoticeQueueLost, fmt.Sprintf("a prompt was given to %d processes, each of which ended with it, or the runtime did: it is not delivered again (redeliver)", k.Attempts),
				map[string]any{"lost": 1, "kept": 0, "prompt": k.UUID, "attempts": k.Attempts})
			continue
		}
		q := &query{uuid: k.UUID, digest: k.Digest, line: append([]byte(k.Line), '\n'), attempts: max(k.Attempts, 0), requeued: true, place: place, stream: newStream(s.store.dir, s.spec.Options.MaxUnreadBytes)}
		q.stream.abandon()
		if _, err := s.desk.enqueue(q); err != nil {
			lost++
		}
	}
	if lost > 0 {
		s.notice(NoticeQueueLost, fmt.Sprintf("%d prompts were waiting or running when the runtime ended, and do not run again (redeliver)", lost),
			map[string]any{"lost": lost, "kept": len(queue) - lost})
	}
}

// ended ends a query. That one of an earlier runtime came to nothing nobody hears but who follows the session, and the logs. When
// this runtime ends before it was begun, the next one has it.
func (s *Session) ended(q *query, err error) {
	if q.requeued && err != nil && !s.desk.leave(q) {
		s.notice(NoticeQueueLost, fmt.Sprintf("a prompt of an earlier runtime does not run to its end: %v", err),
			map[string]any{"lost": 1, "kept": 0, "prompt": q.uuid, "error": err.Error()})
	}
	q.stream.close(err)
}

// queued is a prompt that waits or runs, as it is on disk.
type queued struct {
	UUID   string         `json:"uuid"`
	Digest map[string]any `json:"digest"`
	Line   string         `json:"line,omitempty"` // as the CLI reads it, only if it is to be delivered again
	// Attempts is how many processes it was given to, the one that it is about to be given to included.
	Attempts int `json:"attempts,omitempty"`
}

// filed is what of a record changes while there is no actor.
type filed struct {
	prompts  []string // that wait, or run, with their attempts
	restarts int
	spent    float64
}

func (r record) filed() filed {
	f := filed{restarts: r.Restarts, spent: r.Ledger.Spent}
	for _, q := range r.Queue {
		f.prompts = append(f.prompts, fmt.Sprint(q.UUID, " ", q.Attempts))
	}
	return f
}

// listed reports whether the record on disk has prompts that wait or run.
func (d *desk) listed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.filed.prompts) > 0
}

// maxKept is how long a prompt may be to be kept on disk while it waits: every turn writes the record.
const maxKept = 1 << 20

// queued is what waits or runs, the one that runs first.
func (d *desk) queued(redeliver bool) []queued {
	d.mu.Lock()
	all := make([]*query, 0, len(d.queue)+1)
	if d.inflight != nil && !d.inflight.answered {
		all = append(all, d.inflight)
	}
	all = append(append(all, d.queue...), d.left...)
	attempts := make([]int, len(all))
	for i, q := range all {
		attempts[i] = q.attempts
	}
	d.mu.Unlock()
	var kept []queued
	for i, q := range all {
		if q.gone.Load() {
			continue
		}
		k := queued{UUID: q.uuid, Digest: q.digest, Attempts: attempts[i]}
		if redeliver && len(q.line) <= maxKept {
			k.Line = strings.TrimSuffix(string(q.line), "\n")
		}
		kept = append(kept, k)
	}
	return kept
}

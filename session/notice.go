package session

import (
	"maps"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/audit"
)

// NoticeKind says what a notice is about: something in a session's life that nobody asked for, what it recovered from, what it
// lost, what it waits for. Crashes and restarts are not among them: those are its supervisor's events. A notice is a Moment, a
// line in the log, and but for a few a record in the audit log.
type NoticeKind string

// The kinds of notices.
const (
	// NoticeRecovered says that a session of an earlier runtime is there again, and with what.
	NoticeRecovered NoticeKind = "recovered"
	// NoticeQueueLost says that prompts were queued when the runtime ended, and will not run. See Options.Redeliver.
	NoticeQueueLost NoticeKind = "queue_lost"
	// NoticeStateDamaged says that the session's record could not be read and was set aside.
	NoticeStateDamaged NoticeKind = "state_damaged"
	// NoticeStateUnsaved says that the session's record cannot be written, NoticeStateSaved that it can be again.
	NoticeStateUnsaved NoticeKind = "state_unsaved"
	NoticeStateSaved   NoticeKind = "state_saved"
	// NoticePromptsWait says that prompts of an earlier runtime wait until the record, or the audit log, can be written: see Options.Redeliver.
	NoticePromptsWait NoticeKind = "prompts_wait"
	// NoticeOptionsChanged says that the session goes on under other options than before.
	NoticeOptionsChanged NoticeKind = "options_changed"
	// NoticeConversationLost says that there is no conversation to resume, or none that can be: a new one begins.
	NoticeConversationLost NoticeKind = "conversation_lost"
	// NoticeConversationFound says that the conversation was there already and goes on.
	NoticeConversationFound NoticeKind = "conversation_found"
	// NoticeConversationJoined says that the session begins with a conversation that it was told to, or a copy of it.
	NoticeConversationJoined NoticeKind = "conversation_joined"
	// NoticeConversationMoved says that the CLI goes on in another conversation than it was in, which the session then is in too:
	// after /clear, or by itself. The one before stays on disk.
	NoticeConversationMoved NoticeKind = "conversation_moved"
	// NoticeResumeFailed says that process after process crashed on the conversation, and what was done about it.
	NoticeResumeFailed NoticeKind = "resume_failed"
	// NoticeHibernated says that an idle session's process was ended, NoticeWoken that it is started again.
	NoticeHibernated NoticeKind = "hibernated"
	NoticeWoken      NoticeKind = "woken"
	// NoticeHeld says that queries wait because the API takes no more, NoticeReleased that they run again.
	NoticeHeld     NoticeKind = "held"
	NoticeReleased NoticeKind = "released"
	// NoticeBudgetWarned says that four fifths of a budget are spent, NoticeBudgetExhausted that all of it is.
	NoticeBudgetWarned    NoticeKind = "budget_warned"
	NoticeBudgetExhausted NoticeKind = "budget_exhausted"
	// NoticeSubagentsLimited says that a subagent was refused, since so many are at work (max_subagents); once a turn.
	NoticeSubagentsLimited NoticeKind = "subagents_limited"
	// NoticeToolLoop says that the same tool call is denied from now on, since it was made so often in a row
	// (max_identical_tool_calls), or the same few in turn (max_tool_cycles), NoticeToolLoopEnded that the turn is interrupted, or the subagent stopped, which goes on with it.
	NoticeToolLoop      NoticeKind = "tool_loop"
	NoticeToolLoopEnded NoticeKind = "tool_loop_ended"
)

// unaudited are notices of no consequence for what the session knows, may do or costs.
var unaudited = map[NoticeKind]bool{NoticeHibernated: true, NoticeWoken: true, NoticeReleased: true}

// notice tells those who follow the session, the log and the audit log.
func (s *Session) notice(kind NoticeKind, text string, detail map[string]any) {
	s.tellNotice(kind, text)
	if unaudited[kind] {
		return
	}
	told := map[string]any{"notice": string(kind), "text": text}
	maps.Copy(told, detail)
	s.record(audit.Record{Kind: audit.SessionNotice, Detail: told})
}

func (s *Session) tellNotice(kind NoticeKind, text string) {
	level := zerolog.WarnLevel
	switch {
	case unaudited[kind]:
		level = zerolog.InfoLevel // all is well
	case kind == NoticeStateDamaged:
		level = zerolog.ErrorLevel // money and conversation begin anew
	}
	s.spec.Logger.WithLevel(level).Str("session", s.name).Str("notice", string(kind)).Msg(text)
	s.desk.tell(Moment{Kind: Noticed, Outcome: string(kind), Detail: text})
}

// record puts a record of the session into the audit log, in or outside of an incarnation.
func (s *Session) record(r audit.Record) {
	trail := s.spec.Audit
	if trail == nil {
		return
	}
	kept, _ := s.desk.snapshot()
	r.Actor, r.Session, r.SessionID, r.Generation = s.spec.Path, s.name, kept.SessionID, kept.Generation
	r.TotalCostUSD, r.Policy = kept.Ledger.Spent, new(policy).of(s.spec.Options, kept)
	trail.Post(r)
}

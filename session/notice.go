package session

import (
	"fmt"
	"time"

	"github.com/understudy-run/understudy/audit"
)

// Notice is something in a session's life that nobody asked for: what it recovered from, what it lost, what it waits
// for. Crashes and restarts are not among them: those are its supervisor's events.
type Notice struct {
	Session   string
	SessionID string
	At        time.Time
	Kind      NoticeKind
	Text      string         // for people, in one line
	Detail    map[string]any // for programs; not to be changed
}

// NoticeKind says what a notice is about.
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
	// NoticeOptionsChanged says that the session goes on under other options than before.
	NoticeOptionsChanged NoticeKind = "options_changed"
	// NoticeConversationLost says that there is no conversation to resume, or none that can be: a new one begins.
	NoticeConversationLost NoticeKind = "conversation_lost"
	// NoticeConversationFound says that the conversation was there already and goes on.
	NoticeConversationFound NoticeKind = "conversation_found"
	// NoticeConversationForked says that the session begins with another one's conversation.
	NoticeConversationForked NoticeKind = "conversation_forked"
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
)

// auditKinds are the kinds of record that notices become. Those that are not here are logged only.
var auditKinds = map[NoticeKind]audit.Kind{
	NoticeRecovered: audit.SessionNotice, NoticeQueueLost: audit.SessionNotice, NoticeStateDamaged: audit.SessionNotice,
	NoticeStateUnsaved: audit.SessionNotice, NoticeStateSaved: audit.SessionNotice, NoticeOptionsChanged: audit.SessionNotice,
	NoticeConversationLost: audit.SessionNotice, NoticeConversationFound: audit.SessionNotice,
	NoticeConversationForked: audit.SessionNotice, NoticeResumeFailed: audit.SessionNotice, NoticeHeld: audit.SessionNotice,
	NoticeBudgetWarned: audit.BudgetWarned, NoticeBudgetExhausted: audit.BudgetExhausted,
}

// notice tells the log, the audit log and the embedder.
func (s *Session) notice(kind NoticeKind, text string, detail map[string]any) {
	kept, _ := s.desk.snapshot()
	n := Notice{Session: s.name, SessionID: kept.SessionID, At: time.Now(), Kind: kind, Text: text, Detail: detail}
	s.spec.Logger.Warn().Str("session", s.name).Str("notice", string(kind)).Msg(text)
	if trail := s.spec.Audit; trail != nil && auditKinds[kind] != "" {
		told := map[string]any{"notice": string(kind), "text": text}
		for key, value := range detail {
			told[key] = value
		}
		trail.Post(audit.Record{
			Kind: auditKinds[kind], Actor: s.spec.Path, Session: s.name, SessionID: kept.SessionID, Generation: kept.Generation,
			TotalCostUSD: kept.Ledger.Spent, Detail: told,
		})
	}
	if s.spec.OnNotice == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			s.spec.Logger.Error().Str("session", s.name).Str("panic", fmt.Sprint(v)).Msg("OnNotice panicked")
		}
	}()
	s.spec.OnNotice(n)
}

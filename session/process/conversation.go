package process

import "fmt"

// conversationFlags say which conversation it is: a new one, the same one again, or another one that is gone on with.
func (l Launch) conversationFlags() ([]string, error) {
	if l.SessionID != "" && !isUUID(l.SessionID) {
		return nil, fmt.Errorf("session_id: %q is not a UUID (8-4-4-4-12 hexadecimal digits)", cut(l.SessionID, 80))
	}
	var from []string
	if l.ResumeFrom != "" {
		from = append(from, "--resume="+l.ResumeFrom)
	}
	if l.Continue {
		from = append(from, "--continue")
	}
	if l.FromPR != "" {
		from = append(from, "--from-pr="+l.FromPR)
	}
	switch {
	case len(from) > 1 || len(from) == 1 && l.Resume:
		return nil, fmt.Errorf("resume, continue, from_pr: each names a conversation to go on with; choose one")
	case l.SessionID == "" && l.Resume:
		return nil, fmt.Errorf("resume: no session id to resume; set it")
	case l.Fork && len(from) == 0:
		return nil, fmt.Errorf("fork_session: nothing to copy; set resume or continue")
	case len(from) == 1 && l.SessionID != "" && !l.Fork:
		return nil, fmt.Errorf("session_id: a conversation that is gone on with keeps its own; set fork_session for a copy under this id")
	case l.ResumeAt != "" && !l.Resume && l.ResumeFrom == "":
		return nil, fmt.Errorf("resume_session_at: nothing to resume; set resume")
	case l.ResumeDropsTurn != "" && l.ResumeAt == "":
		return nil, fmt.Errorf("resume_drops_turn: says what resume_session_at leaves out; set that")
	case l.Resume:
		from = append(from, "--resume="+l.SessionID)
	case l.SessionID != "":
		from = append(from, "--session-id="+l.SessionID)
	}
	if l.Fork {
		from = append(from, "--fork-session")
	}
	if l.ResumeAt != "" {
		from = append(from, "--resume-session-at="+l.ResumeAt)
	}
	if l.ResumeDropsTurn != "" {
		from = append(from, "--resume-drops-turn="+l.ResumeDropsTurn)
	}
	return from, nil
}

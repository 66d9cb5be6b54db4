package understudy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/understudy-run/understudy/session"
)

// ErrConversationTaken says that another session, be it stopped, is on the conversation that a session is to go on with. Two processes on
// one would each write a history of its own into the same file, and nobody would be told. Options.ForkSession makes a copy;
// [Runtime.Remove] gives a conversation up.
var ErrConversationTaken = errors.New("another session is on that conversation")

// separate reports sessions of the options that would be on one conversation.
func (o *Options) separate() error {
	var problems []error
	first := make(map[string]string)
	look := func(sessions []SessionSpec) {
		for _, s := range sessions {
			conversation, option := s.Options.Claim()
			if conversation == "" {
				continue
			}
			if other, taken := first[conversation]; taken && other != s.Name {
				problems = append(problems, fmt.Errorf("session %s: %s: %w: session %s", s.Name, option, ErrConversationTaken, other))
				continue
			}
			first[conversation] = s.Name
		}
	}
	look(o.Sessions)
	var below func(groups []Group)
	below = func(groups []Group) {
		for _, g := range groups {
			look(g.Sessions)
			below(g.Groups)
		}
	}
	below(o.Groups)
	return errors.Join(problems...)
}

// unclaimed is an error if a session that was made is on the conversation of one that is there, under the lock. One that begins with
// a conversation of its own has a new id.
func (rt *Runtime) unclaimed(s *session.Session) error {
	claim, _ := s.Options().Claim()
	info := s.Info()
	if claim == "" && info.Generation == 0 {
		return nil
	}
	for name, other := range rt.known {
		theirs, _ := other.Options().Claim()
		if strings.EqualFold(other.Info().SessionID, info.SessionID) || claim != "" && claim == theirs && info.Generation == 0 {
			return fmt.Errorf("session %s: %w: session %s, conversation %s", s.Name(), ErrConversationTaken, name, other.Info().SessionID)
		}
	}
	return nil
}

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

// separate reports sessions and pools of the options that would be on one conversation.
func (o *Options) separate() error {
	var problems []error
	first := make(map[string]string)
	look := func(who string, options session.Options) {
		conversation, option := options.Claim()
		if conversation == "" {
			return
		}
		if other, taken := first[conversation]; taken && other != who {
			problems = append(problems, fmt.Errorf("%s: %s: %w: %s", who, option, ErrConversationTaken, other))
			return
		}
		first[conversation] = who
	}
	for _, s := range sessionsOf(o.Sessions, o.Groups) {
		look("session "+s.Name, s.Options)
	}
	for _, p := range o.Pools { // one of several sessions is refused for that by itself
		look("pool "+p.Name, p.Options)
	}
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

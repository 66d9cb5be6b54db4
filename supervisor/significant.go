package supervisor

import (
	"fmt"

	"github.com/understudy-run/understudy/actor"
)

// AutoShutdown says whether a supervisor ends when significant children have. The zero value means Never.
type AutoShutdown string

// The kinds of OTP. Only a significant child that ended by itself and is not started again counts: neither
// one that was terminated nor one that was stopped with its siblings does.
const (
	Never          AutoShutdown = "never"
	AnySignificant AutoShutdown = "any_significant" // with the first
	AllSignificant AutoShutdown = "all_significant" // with the last: no other significant child is up or on its way
)

// UnmarshalText accepts the three names.
func (a *AutoShutdown) UnmarshalText(text []byte) error {
	switch v := AutoShutdown(text); v {
	case Never, AnySignificant, AllSignificant:
		*a = v
		return nil
	}
	return fmt.Errorf("auto_shutdown %q: expected never, any_significant or all_significant", text)
}

// due reports whether it is time to end, given that a significant child has ended, and whether another one
// is up or on its way.
func (a AutoShutdown) due(another bool) bool {
	return a == AnySignificant || a == AllSignificant && !another
}

// finished is called when a child has ended by itself and stays down.
func (l *loop) finished(c *actor.Context[message], child *child) {
	if child.spec.Significant {
		l.ended = child.spec.ID
		l.autoShutdown(c)
	}
}

// autoShutdown ends the supervisor if it is time to. While its first children start, that waits.
func (l *loop) autoShutdown(c *actor.Context[message]) {
	if l.state != Running || l.ended == "" {
		return
	}
	another := false
	for _, child := range l.children {
		another = another || child.spec.Significant && child.wanted()
	}
	if l.options.AutoShutdown.due(another) {
		l.shutDown(c, fmt.Errorf("%w: %s: significant child %s has ended", actor.ErrShutdown, l.options.AutoShutdown, l.ended))
	}
}

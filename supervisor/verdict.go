package supervisor

import "errors"

// ending is how a child ended by itself, or why it did not start.
type ending struct {
	reason error
	clean  bool // OTP's normal or shutdown
	exited bool // it had been up
}

// verdict is what becomes of a child that ended.
type verdict int

const (
	finish   verdict = iota // it is down to stay
	park                    // it is not started again until somebody asks
	cool                    // the same, and it is tried once more after a while
	replace                 // it is started again, at once and uncounted
	recount                 // it is started again if the intensity allows it
	slowDown                // it is started again, with the longest delay there is
	escalate                // the supervisor gives up
)

// judge says what becomes of a child that ended. probing says that this was the one try after a cooldown.
func judge(r Restart, e ending, probing bool) verdict {
	planned := e.exited && Planned(e.reason)
	switch {
	case r == Temporary, !planned && !r.restartable(e.clean):
		return finish
	case Permanently(e.reason):
		return park
	case planned:
		return replace
	case probing:
		return cool
	}
	return recount
}

// exhausted says what becomes of a child whose restart was one too many.
func exhausted(own bool, mode OnExhausted) verdict {
	if !own {
		return escalate
	}
	switch mode {
	case Fail:
		return park
	case Cooldown:
		return cool
	case Slow:
		return slowDown
	default:
		return escalate
	}
}

// ErrRecycle is the reason of a child that ends because it wants to be replaced: it has run long enough, or
// was asked to renew itself. It is started again at once; that is not counted and not delayed.
var ErrRecycle = errors.New("recycle")

// Planned reports whether a reason is a planned end: ErrRecycle, or an error that says so of itself by a
// method `Planned() bool` that returns true, or one that wraps such an error.
func Planned(reason error) bool {
	var p interface{ Planned() bool }
	return errors.Is(reason, ErrRecycle) || errors.As(reason, &p) && p.Planned()
}

// Permanently reports whether an error, or one it wraps, says of itself that trying again cannot help: it
// has a method `Permanent() bool` that returns true. A child that ends or fails to start with such an
// error is parked, and burns no restarts.
func Permanently(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

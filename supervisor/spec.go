package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/understudy-run/understudy/actor"
)

// Restart says after which ends a child is started again. The zero value means Permanent.
type Restart string

// The restart types of OTP. A clean end is normal or shutdown (actor.Clean).
const (
	Permanent Restart = "permanent" // always
	Transient Restart = "transient" // unless it ended clean; its spec is kept
	Temporary Restart = "temporary" // never; its spec is removed
)

// UnmarshalText accepts the three names.
func (r *Restart) UnmarshalText(text []byte) error {
	switch v := Restart(text); v {
	case Permanent, Transient, Temporary:
		*r = v
		return nil
	}
	return fmt.Errorf("restart %q: expected permanent, transient or temporary", text)
}

func (r Restart) restartable(clean bool) bool {
	switch r {
	case Temporary:
		return false
	case Transient:
		return !clean
	default:
		return true
	}
}

// Shutdown is how long a child may take to end when it is asked to. The zero value means DefaultShutdown,
// and Infinity for a child of kind Supervised, which ends when its own children have.
type Shutdown struct{ grace time.Duration }

// DefaultShutdown is OTP's time for a worker.
const DefaultShutdown = 5 * time.Second

// BrutalKill ends a child without asking it; Infinity waits for it without limit, as is right for a
// supervisor.
var (
	BrutalKill = Shutdown{grace: -1}
	Infinity   = Shutdown{grace: -2}
)

// Within gives a child d to end, after which it is killed. A d of 0 or less means BrutalKill.
func Within(d time.Duration) Shutdown {
	if d <= 0 {
		return BrutalKill
	}
	return Shutdown{grace: d}
}

// Grace is the time the child has, and false if there is no limit. BrutalKill is 0.
func (s Shutdown) Grace() (time.Duration, bool) {
	switch s {
	case Shutdown{}:
		return DefaultShutdown, true
	case BrutalKill:
		return 0, true
	case Infinity:
		return 0, false
	}
	return s.grace, true
}

// String is what UnmarshalText accepts.
func (s Shutdown) String() string {
	switch s {
	case BrutalKill:
		return "brutal_kill"
	case Infinity:
		return "infinity"
	}
	d, _ := s.Grace()
	return d.String()
}

// MarshalText is String.
func (s Shutdown) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts brutal_kill, infinity, or a duration such as 5s.
func (s *Shutdown) UnmarshalText(text []byte) error {
	switch v := strings.TrimSpace(string(text)); v {
	case "brutal_kill":
		*s = BrutalKill
	case "infinity":
		*s = Infinity
	default:
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return fmt.Errorf("shutdown %q: expected brutal_kill, infinity, or a duration above zero such as 5s", text)
		}
		*s = Shutdown{grace: d}
	}
	return nil
}

// Intensity is how many restarts are tolerated within a window of time: the next one is too many. The
// window is exact, on the monotonic clock; OTP's reaches from period to period plus one second.
type Intensity struct {
	MaxRestarts int           // restarts tolerated; 0 tolerates none
	Within      time.Duration // the window's length
}

// DefaultIntensity is Elixir's: 3 restarts in 5 seconds.
var DefaultIntensity = Intensity{MaxRestarts: 3, Within: 5 * time.Second}

// Backoff is the delay before a restart: Initial before the first, growing by Factor up to Max, each spread
// by Jitter. A child that ran for ResetAfter is forgiven. The zero value restarts at once, as OTP does.
type Backoff struct {
	Initial    time.Duration `json:"initial,omitzero"`     // before the first restart; 0 turns backoff off
	Max        time.Duration `json:"max,omitzero"`         // no delay is longer; 0 means 30 s
	Factor     float64       `json:"factor,omitzero"`      // each delay over the one before; 0 means 2
	Jitter     float64       `json:"jitter,omitzero"`      // 0 to 1: a delay is taken at random from its value less, to plus, this part of it
	ResetAfter time.Duration `json:"reset_after,omitzero"` // a run of this length starts over at Initial; 0 means the larger of Max and one minute
}

// OnExhausted is what happens when a child of its own intensity has used it up. The zero value means
// Escalate.
type OnExhausted string

// What may happen to a child that restarts too often. Whatever it is but Escalate, its siblings go on.
const (
	Escalate OnExhausted = "escalate" // the supervisor stops its children and itself, as in OTP
	Fail     OnExhausted = "fail"     // this child is parked as failed
	Cooldown OnExhausted = "cooldown" // it is parked, and tried once more after ChildSpec.Cooldown
	Slow     OnExhausted = "slow"     // it is restarted for ever, as slowly as its Backoff.Max
)

// DefaultCooldown is how long a child is parked whose spec names no time.
const DefaultCooldown = time.Minute

// UnmarshalText accepts the four names.
func (o *OnExhausted) UnmarshalText(text []byte) error {
	switch v := OnExhausted(text); v {
	case Escalate, Fail, Cooldown, Slow:
		*o = v
		return nil
	}
	return fmt.Errorf("on_exhausted %q: expected escalate, fail, cooldown or slow", text)
}

// Kind tells supervisors from other children in a tree.
type Kind string

// The kinds of children.
const (
	Worker     Kind = "worker"
	Supervised Kind = "supervisor"
)

// ChildSpec says how to start a child, and what to do when it ends.
type ChildSpec struct {
	// ID names the child among its siblings. It becomes the last element of paths: no slash, no space.
	ID string

	// Start starts one incarnation and returns when it is ready to work. It runs in a goroutine of the
	// child's own, so that a start that blocks delays nobody else; it may be called again after it has
	// failed. Its context ends with StartTimeout, when the child is to be stopped, and when Start has
	// returned, so it is not for the child to keep. Start must return soon after: one that does not within
	// Shutdown and 5 s more is abandoned, counts as failed, and what it may return later is killed. If it
	// returns an error, nothing of what it started may be left. A panic in it is a failed start, and so is
	// a PID that comes after StartTimeout: it is stopped.
	//
	// An error for which Permanently returns true parks the child at once: a restart would fail for ever.
	// ErrIgnore means that there is nothing to start.
	Start func(ctx context.Context) (actor.PID, error)

	// Label is what events and snapshots call the child where there may be only few names, as in metrics: the
	// same for all that are alike. Empty means the ID, and for children of a template the template's.
	Label string

	Restart      Restart
	Shutdown     Shutdown
	Kind         Kind          // zero means Worker
	StartTimeout time.Duration // for Start to return, else ErrStartTimeout; 0 means no limit: Start has its own

	// Intensity, if not nil, is the child's own: its restarts count against it and not against the
	// supervisor's, unless they exceed it and OnExhausted is Escalate.
	Intensity   *Intensity
	OnExhausted OnExhausted

	// Cooldown is how long the child is parked if OnExhausted is Cooldown; 0 means DefaultCooldown. Then it
	// is started once. If that fails, or it ends before it has been up for the length of its Intensity's
	// window, it is parked for as long again; if not, it has its whole intensity back.
	Cooldown time.Duration

	// Significant says that the supervisor's AutoShutdown watches for this child's end. It must not be
	// Permanent, since such a child's end is never the last.
	Significant bool

	// Backoff, if not nil, replaces the supervisor's.
	Backoff *Backoff

	// RetryStart treats a first start that fails as a crash: the child stays, is tried again under the
	// restart policy, and is parked when that is exhausted. Without it the failure goes to whoever asked
	// for the child and nothing stays behind, as in OTP.
	RetryStart bool
}

// ErrInvalid is what every error about a spec wraps.
var ErrInvalid = errors.New("invalid spec")

func (s ChildSpec) validate() error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("child %q: %w: "+format, append([]any{s.ID, ErrInvalid}, args...)...))
	}
	if err := validateID(s.ID); err != nil {
		problems = append(problems, err)
	}
	if s.Start == nil {
		add("no start function")
	}
	switch s.Restart {
	case "", Permanent, Transient, Temporary:
	default:
		add("restart %q: expected permanent, transient or temporary", s.Restart)
	}
	switch s.Kind {
	case "", Worker, Supervised:
	default:
		add("kind %q: expected worker or supervisor", s.Kind)
	}
	switch s.OnExhausted {
	case "", Escalate:
	case Fail, Cooldown, Slow:
		if s.Intensity == nil {
			add("on_exhausted %s needs an intensity of the child's own", s.OnExhausted)
		}
	default:
		add("on_exhausted %q: expected escalate, fail, cooldown or slow", s.OnExhausted)
	}
	if s.Cooldown < 0 {
		add("cooldown %v: expected 0 (for %v) or more", s.Cooldown, DefaultCooldown)
	}
	if s.Significant && (s.Restart == "" || s.Restart == Permanent) {
		add("significant: a permanent child never ends for good; make it transient or temporary")
	}
	if s.StartTimeout < 0 {
		add("start timeout %v: expected 0 (none) or more", s.StartTimeout)
	}
	if s.Intensity != nil {
		if err := s.Intensity.validate(); err != nil {
			add("%v", err)
		}
	}
	if s.Backoff != nil {
		if err := s.Backoff.validate(); err != nil {
			add("%v", err)
		}
	}
	return errors.Join(problems...)
}

func validateID(id string) error {
	if id == "" || strings.ContainsFunc(id, func(r rune) bool { return r == '/' || badInName(r) }) {
		return fmt.Errorf("child %q: %w: id must not be empty or hold a slash, a space or a control character", id, ErrInvalid)
	}
	return nil
}

// badInName says what actor.Spawn does not accept in a name.
func badInName(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

func (i Intensity) validate() error {
	if i.MaxRestarts < 0 {
		return fmt.Errorf("max_restarts %d: expected 0 or more", i.MaxRestarts)
	}
	if i.Within <= 0 {
		return fmt.Errorf("max_seconds %v: expected more than 0", i.Within)
	}
	return nil
}

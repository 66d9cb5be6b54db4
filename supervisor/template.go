package supervisor

import (
	"cmp"
	"context"

	"github.com/understudy-run/understudy/actor"
)

// Template is what all children of a SimpleOneForOne supervisor are made of. They are known by their PID
// and by an id; they are not ordered, are stopped all at once, and leave nothing behind when they are down
// to stay.
type Template struct {
	// Start starts one incarnation of the child of that id. args are what StartInstance was given, the
	// same for every incarnation. For the rest it is a ChildSpec.Start.
	Start func(ctx context.Context, id string, args any) (actor.PID, error)

	// Spec is everything else. Its Start is not used; its ID is what the ids of children begin with that
	// are not given one, "child" if empty.
	Spec ChildSpec
}

func (t Template) instance(id string, args any) ChildSpec {
	spec, start := t.Spec, t.Start
	spec.ID, spec.Label = id, cmp.Or(spec.Label, t.prefix())
	spec.Start = func(ctx context.Context) (actor.PID, error) { return start(ctx, id, args) }
	return spec
}

func (t Template) prefix() string {
	if t.Spec.ID == "" {
		return "child"
	}
	return t.Spec.ID
}

// StartInstance starts one more child of the template and returns when it is ready. An empty id means one
// that is not in use, from the template's and a number. It returns the zero PID and no error if the start
// was ignored (ErrIgnore). Errors: ErrNoTemplate, *AlreadyStartedError, *MaxChildrenError, ErrInvalid,
// ErrTerminated, or what Start returned; then nothing stays behind. If the context ends first, the start
// goes on.
func (s *Supervisor) StartInstance(ctx context.Context, id string, args any) (actor.PID, error) {
	if id != "" {
		if err := validateID(id); err != nil {
			return actor.PID{}, err
		}
	}
	return actor.Ask(ctx, s.ref, func(r actor.Reply[actor.PID]) message { return startInstance{id, args, r} })
}

// TerminatePID stops the child of that PID and waits for its end. Like OTP it finds a living process that
// is no child ErrNotFound, and has nothing to do for one that is dead and unknown.
func (s *Supervisor) TerminatePID(ctx context.Context, pid actor.PID) error {
	_, err := actor.Ask(ctx, s.ref, func(r actor.Reply[Exit]) message { return terminateChild{pid: pid, byPID: true, reply: r} })
	return err
}

package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"
)

// Options say what a supervisor is. Only Name is needed.
type Options struct {
	Name         string     // the actor's name, a path: "root/sessions"
	Strategy     Strategy   // zero means OneForOne
	Intensity    *Intensity // nil means DefaultIntensity
	AutoShutdown AutoShutdown
	Backoff      Backoff // for children without one of their own

	// Children are started in this order, one after the other.
	Children []ChildSpec

	// Template is what the children of SimpleOneForOne are made of; such a supervisor has no others.
	Template *Template

	// MaxChildren is how many children there may be, those included that are stopped or parked. More are
	// refused with *MaxChildrenError. 0 means no limit.
	MaxChildren int

	// Independent says that no child needs another: the first children are started several at a time, and a
	// stop asks all of them at once, in reverse order, and takes as long as the slowest. Without it each is
	// ready before the next is started, and has ended before the next is asked. It contradicts OneForAll
	// and RestForOne.
	Independent bool

	// AtOnce is how many of the first children are started at a time if they are Independent. 0 means 16.
	AtOnce int

	// Pace limits the restarts of supervisors in the whole tree. nil means that of the supervisor whose
	// child this one is, found in the context that its Start was given; and for the first of a tree, 10 a
	// second, 10 of them at once.
	Pace *Pace

	// OnEvent, if not nil, is told everything the supervisor does. It is called on the supervisor's own
	// goroutine and must return at once; a panic in it is contained.
	OnEvent func(Event)

	Logger zerolog.Logger // for what OnEvent does wrong; the zero value is silent
}

// withDefaults fills in what is zero. The context is the one of Start.
func (o Options) withDefaults(ctx context.Context) Options {
	if o.Strategy == "" {
		o.Strategy = OneForOne
	}
	if o.Intensity == nil {
		o.Intensity = &DefaultIntensity
	}
	if o.AutoShutdown == "" {
		o.AutoShutdown = Never
	}
	if o.AtOnce == 0 {
		o.AtOnce = 16
	}
	if o.Pace == nil {
		o.Pace = inherited(ctx)
	}
	return o
}

// parallel reports whether children are stopped all at once.
func (o Options) parallel() bool { return o.Independent || o.Strategy == SimpleOneForOne }

func (o Options) validate() error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("supervisor %s: %w: "+format, append([]any{o.Name, ErrInvalid}, args...)...))
	}
	if o.Name == "" || strings.ContainsFunc(o.Name, badInName) {
		problems = append(problems, fmt.Errorf("supervisor %q: %w: name must not be empty or hold a space or a control character", o.Name, ErrInvalid))
	}
	if !slices.Contains(strategies, o.Strategy) {
		add("strategy %q: expected one_for_one, one_for_all, rest_for_one or simple_one_for_one", o.Strategy)
	}
	switch o.AutoShutdown {
	case Never, AnySignificant, AllSignificant:
	default:
		add("auto_shutdown %q: expected never, any_significant or all_significant", o.AutoShutdown)
	}
	if err := o.Intensity.validate(); err != nil {
		add("%w", err)
	}
	if err := o.Backoff.validate(); err != nil {
		add("%w", err)
	}
	if o.MaxChildren < 0 || o.MaxChildren > 0 && o.MaxChildren < len(o.Children) {
		add("max_children %d: expected 0 (no limit), or no less than its %d children", o.MaxChildren, len(o.Children))
	}
	if o.AtOnce < 0 {
		add("at_once %d: expected 0 (for 16) or more", o.AtOnce)
	}
	if o.Independent && o.Strategy.grouped() {
		add("independent: the children of %s go down together", o.Strategy)
	}
	problems = append(problems, o.validateTemplate(), o.validateChildren())
	return errors.Join(problems...)
}

func (o Options) validateTemplate() error {
	simple := o.Strategy == SimpleOneForOne
	invalid := func(text string) error { return fmt.Errorf("supervisor %s: %w: %s", o.Name, ErrInvalid, text) }
	switch {
	case simple && o.Template == nil:
		return invalid("simple_one_for_one needs a template")
	case simple && len(o.Children) > 0:
		return invalid("simple_one_for_one has no children but those of its template")
	case !simple && o.Template != nil:
		return invalid("a template needs simple_one_for_one")
	case !simple:
		return nil
	case o.Template.Start == nil:
		return invalid("the template has no start function")
	}
	spec := o.Template.instance("template", nil)
	return errors.Join(spec.validate(), o.validateSignificant(&spec))
}

func (o Options) validateChildren() error {
	var problems []error
	seen := make(map[string]bool)
	for _, spec := range o.Children {
		problems = append(problems, spec.validate(), o.validateSignificant(&spec))
		if seen[spec.ID] {
			problems = append(problems, fmt.Errorf("supervisor %s: %w: two children %q", o.Name, ErrInvalid, spec.ID))
		}
		seen[spec.ID] = true
	}
	return errors.Join(problems...)
}

// validateSignificant checks what a spec alone cannot tell.
func (o *Options) validateSignificant(spec *ChildSpec) error {
	if spec.Significant && o.AutoShutdown == Never {
		return fmt.Errorf("child %q: %w: significant: supervisor %s has auto_shutdown never", spec.ID, ErrInvalid, o.Name)
	}
	return nil
}

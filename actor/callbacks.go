package actor

// calls are an actor's callbacks without its message type.
type calls interface {
	started() error
	receive(message any)
	down(m *Monitor, d Down) any
	traps() bool
	exiting(reason error) // only if it traps
	stopped(reason error)
}

// callbacks are an Actor's, and what they act through: one value, since there is one for each actor.
type callbacks[M any] struct {
	context Context[M]
	actor   Actor[M]
}

func (b *callbacks[M]) started() error {
	if a, ok := b.actor.(Starter[M]); ok {
		return a.Started(&b.context)
	}
	return nil
}

func (b *callbacks[M]) receive(message any) {
	// Only Ref[M], Context[M] and wrappers returning M put messages here. The check lets a nil interface
	// value of M through.
	typed, _ := message.(M)
	b.actor.Receive(&b.context, typed)
}

func (b *callbacks[M]) down(m *Monitor, d Down) any {
	wrap, _ := m.wrap.(func(Down) M) // what Context[M].Monitor put there
	return wrap(d)
}

func (b *callbacks[M]) traps() bool {
	_, ok := b.actor.(Trapper[M])
	return ok
}

func (b *callbacks[M]) exiting(reason error) {
	if a, ok := b.actor.(Trapper[M]); ok {
		a.Exiting(&b.context, reason)
	}
}

func (b *callbacks[M]) stopped(reason error) {
	if a, ok := b.actor.(Stopper[M]); ok {
		a.Stopped(&b.context, reason)
	}
}

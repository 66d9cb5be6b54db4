package actor

import "time"

// State is what an actor is doing.
type State string

// The states of an actor.
const (
	Starting State = "starting" // Started has not returned
	Idle     State = "idle"     // waiting for a message
	Busy     State = "busy"     // in a callback
	Stopping State = "stopping" // asked to stop or ending
	Ended    State = "ended"
)

// Info describes an actor at a moment. Taking it needs nothing of the actor, so that a stuck one shows as
// Busy since when.
type Info struct {
	Name      string
	State     State
	Since     time.Time // when it was spawned
	Depth     int       // messages of others that wait
	Capacity  int       // how many may wait
	Handled   uint64    // messages handled, its own included
	BusyFor   time.Duration
	OldestAge time.Duration // an upper bound of how long the oldest waiting message has waited; 0 if none
	Snapshot  any           // what the actor last published, nil if nothing
}

// Info describes the actor. The zero Info is that of nobody.
func (p PID) Info() Info {
	c := p.c
	if c == nil {
		return Info{State: Ended}
	}
	now := c.age()
	info := Info{
		Name: c.name, State: Idle, Since: c.born, Depth: int(c.room.taken.Load()),
		Capacity: int(c.room.bound), Handled: c.handled.Load(),
	}
	if busy := c.busy.Load(); busy != 0 {
		info.State, info.BusyFor = Busy, time.Duration(now-busy)
	}
	if head := c.headAt.Load(); head != 0 && info.Depth > 0 {
		// The waiting messages were taken after the one last begun.
		info.OldestAge = time.Duration(now - head)
	} else if info.Depth > 0 {
		info.OldestAge = time.Duration(now)
	}
	switch {
	case !p.Alive():
		info.State = Ended
	case c.stopping.Load():
		info.State = Stopping
	case !c.started.Load():
		info.State = Starting
	}
	if s := c.snapshot.Load(); s != nil {
		info.Snapshot = *s
	}
	return info
}

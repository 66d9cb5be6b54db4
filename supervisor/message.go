package supervisor

import (
	"time"

	"github.com/understudy-run/understudy/actor"
)

// message is what the supervisor's actor receives.
//
//sumtype:decl
type message interface{ isMessage() }

type (
	awaitUp    struct{ reply actor.Reply[struct{}] }
	startChild struct {
		spec  *ChildSpec // the message's own
		reply actor.Reply[actor.PID]
	}
	startInstance struct {
		id    string
		args  any
		reply actor.Reply[actor.PID]
	}
	addChild struct {
		spec  *ChildSpec // the same
		reply actor.Reply[struct{}]
	}
	terminateChild struct {
		id     string
		pid    actor.PID
		byPID  bool
		within *Shutdown
		reply  actor.Reply[Exit]
	}
	restartChild struct {
		id    string
		force bool
		reply actor.Reply[actor.PID]
	}
	deleteChild struct {
		id    string
		reply actor.Reply[struct{}]
	}
	reset struct {
		id    string
		reply actor.Reply[struct{}]
	}
	hurry     struct{ deadline time.Time }
	look      struct{ reply actor.Reply[Node] }
	lookChild struct {
		id    string
		reply actor.Reply[Node]
	}
	lookSpec struct {
		id    string
		pid   actor.PID // if id is empty
		reply actor.Reply[ChildSpec]
	}
	countChildren struct{ reply actor.Reply[Count] }

	// The rest carry the incarnation they are about: one that is stale is ignored.
	started struct {
		child       *child
		incarnation int
		pid         actor.PID
		link        *actor.Link
		err         error
	}
	down struct {
		child       *child
		incarnation int
		pid         actor.PID
		reason      error
	}
	restartDue struct {
		child       *child
		incarnation int
	}
	cooldownOver struct {
		child       *child
		incarnation int
	}
	startOverdue struct {
		child       *child
		incarnation int
	}
	startDeaf struct {
		child       *child
		incarnation int
	}
	graceOver struct {
		child       *child
		incarnation int
	}
	deafTooLong struct {
		child       *child
		incarnation int
	}
)

func (awaitUp) isMessage()        {}
func (startChild) isMessage()     {}
func (startInstance) isMessage()  {}
func (addChild) isMessage()       {}
func (terminateChild) isMessage() {}
func (restartChild) isMessage()   {}
func (deleteChild) isMessage()    {}
func (reset) isMessage()          {}
func (hurry) isMessage()          {}
func (look) isMessage()           {}
func (lookChild) isMessage()      {}
func (lookSpec) isMessage()       {}
func (countChildren) isMessage()  {}
func (started) isMessage()        {}
func (down) isMessage()           {}
func (restartDue) isMessage()     {}
func (cooldownOver) isMessage()   {}
func (startOverdue) isMessage()   {}
func (startDeaf) isMessage()      {}
func (graceOver) isMessage()      {}
func (deafTooLong) isMessage()    {}

package session

import (
	"cmp"
	"regexp"
	"time"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// What zero Options mean.
const (
	DefaultStartTimeout      = 60 * time.Second
	DefaultStallTimeout      = 10 * time.Minute
	DefaultControlTimeout    = 30 * time.Second
	DefaultPermissionTimeout = 5 * time.Minute
	DefaultMaxQueue          = 64
	DefaultMaxLineBytes      = protocol.DefaultMaxLine
	DefaultMaxUnreadBytes    = 512 << 20

	DefaultInterruptGrace = 10 * time.Second // the CLI needs some 30 ms, and up to 2 s for a tool in a sandbox
	DefaultResumeAttempts = 2
)

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	o = o.Effective()
	o.StartTimeout = cmp.Or(o.StartTimeout, DefaultStartTimeout)
	o.StallTimeout = cmp.Or(o.StallTimeout, DefaultStallTimeout)
	o.ControlTimeout = cmp.Or(o.ControlTimeout, DefaultControlTimeout)
	o.PermissionTimeout = cmp.Or(o.PermissionTimeout, DefaultPermissionTimeout)
	o.MaxLineBytes = cmp.Or(o.MaxLineBytes, DefaultMaxLineBytes)
	o.MaxQueue = cmp.Or(o.MaxQueue, DefaultMaxQueue)
	o.MaxUnreadBytes = cmp.Or(o.MaxUnreadBytes, DefaultMaxUnreadBytes)
	o.Restart = cmp.Or(o.Restart, supervisor.Permanent)
	o.InterruptGrace = cmp.Or(o.InterruptGrace, DefaultInterruptGrace)
	o.ResumeAttempts = cmp.Or(o.ResumeAttempts, DefaultResumeAttempts)
	o.OnResumeFailure = cmp.Or(o.OnResumeFailure, ResumePark)
	return o
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ValidName reports whether a session may be called that: up to 64 letters, digits, dots, underscores
// and dashes, beginning with a letter or digit. Names become file names, URLs and process markers.
func ValidName(name string) bool { return validName.MatchString(name) }

// launcher is the launcher, or that which the sandbox setting {"environment": "docker", "container": NAME} means.
func (o Options) launcher() process.Launcher {
	if o.Launcher.IsZero() && o.Sandbox.InContainer() {
		return process.Launcher{Kind: process.LaunchDocker, Container: o.Sandbox.Container}
	}
	return o.Launcher
}

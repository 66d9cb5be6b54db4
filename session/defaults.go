package session

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/understudy-run/understudy/supervisor"
)

// What zero Options mean.
const (
	DefaultStartTimeout      = 60 * time.Second
	DefaultStallTimeout      = 10 * time.Minute
	DefaultControlTimeout    = 30 * time.Second
	DefaultPermissionTimeout = 5 * time.Minute
	DefaultMaxQueue          = 64

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
	o.MaxQueue = cmp.Or(o.MaxQueue, DefaultMaxQueue)
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

// Validate reports everything that is wrong with the options by themselves. What needs a look at the
// machine (directories, the binary) is found when the session is started.
func (o Options) Validate() error {
	o = o.Effective()
	var problems []error
	for _, p := range o.Problems() {
		problems = append(problems, p)
	}
	add := func(option string, value any, expected string) {
		problems = append(problems, fmt.Errorf("%s %v: expected %s", option, value, expected))
	}
	if o.MaxTurns < 0 {
		add("max_turns", o.MaxTurns, "0 (no limit) or more")
	}
	if !(o.MaxBudgetUSD >= 0) {
		add("max_budget_usd", o.MaxBudgetUSD, "0 (no limit) or more")
	}
	if o.MaxQueue < 0 {
		add("max_queue", o.MaxQueue, "0 (for the default) or more")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"start_timeout", o.StartTimeout}, {"turn_timeout", o.TurnTimeout},
		{"control_timeout", o.ControlTimeout}, {"permission_timeout", o.PermissionTimeout},
		{"interrupt_grace", o.InterruptGrace}, {"idle_timeout", o.IdleTimeout},
	} {
		if d.value < 0 {
			add(d.name, d.value, "0 or more")
		}
	}
	if o.ResumeAttempts < 0 {
		add("resume_attempts", o.ResumeAttempts, "0 (for the default) or more")
	}
	if !slices.Contains([]ResumeFailure{"", ResumePark, ResumeFresh}, o.OnResumeFailure) {
		add("on_resume_failure", o.OnResumeFailure, "park or fresh")
	}
	if slices.Contains(o.Budgets, "") {
		add("budgets", o.Budgets, "names of budgets")
	}
	if o.Settings.Path != "" && o.Settings.Values != nil {
		add("settings", o.Settings.Path, "either a file or values")
	}
	problems = append(problems, o.Containment.Validate(), o.Limits.Validate())
	return errors.Join(problems...)
}

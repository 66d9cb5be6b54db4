package session

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session/protocol"
)

// Profile is a set of options that belong together, for one kind of use. It fills in what is not set: permission mode, tools,
// limits, sandbox and setting sources. What is set wins, except that disallowed_tools are added to the profile's. Where
// what is set allows more than the profile, Loosened says so, and so do the log, the audit log and `understudy check`.
//
//	            mode         tools                       sandbox            turns  budget  turn timeout
//	review      plan         Read, Glob, Grep            no commands        50     2 USD   30 min
//	ci          dontAsk      reads; what you allow       strict             100    5 USD   1 h
//	edit        acceptEdits  reads, edits                strict             100    5 USD   1 h
//	interactive default      reads; asks for the rest    strict             none   20 USD  none
//
// A strict sandbox reaches no network but its allowed domains, and reads none of the usual places of secrets. All of them keep
// the file tools in the working directories, read no settings of a repository, and have no access to the web.
type Profile string

// The profiles.
const (
	ProfileReview      Profile = "review"      // analysis and code review: reads only
	ProfileCI          Profile = "ci"          // pipelines, where nobody answers questions
	ProfileEdit        Profile = "edit"        // edits are expected, and somebody looks at them
	ProfileInteractive Profile = "interactive" // a human in the loop
)

// Profiles are all of them.
func Profiles() []Profile {
	return []Profile{ProfileReview, ProfileCI, ProfileEdit, ProfileInteractive}
}

// UnmarshalText takes the name of a profile.
func (p *Profile) UnmarshalText(text []byte) error {
	if !slices.Contains(Profiles(), Profile(text)) {
		return fmt.Errorf("profile %q: expected review, ci, edit or interactive", cut(string(text), 60))
	}
	*p = Profile(text)
	return nil
}

// SecretPlaces are where secrets usually are: what the profiles keep sandboxed commands from reading.
func SecretPlaces() []string {
	return []string{
		"~/.ssh", "~/.aws", "~/.config/gcloud", "~/.azure", "~/.netrc", "~/.docker", "~/.kube", "~/.gnupg", "~/.git-credentials",
		"~/.npmrc", "~/.pypirc", "~/.claude", "~/.claude.json",
	}
}

var readers = []string{"Read", "Glob", "Grep"}

// Options are the profile's own.
func (p Profile) Options() Options {
	strict := Sandbox{
		Enabled: new(true), FailIfUnavailable: new(true), AllowUnsandboxedCommands: new(false), AutoAllowBashIfSandboxed: new(false),
		Network:    SandboxNetwork{StrictAllowlist: new(true)},
		Filesystem: SandboxFilesystem{DenyRead: SecretPlaces()},
	}
	web := []string{"WebFetch", "WebSearch"}
	switch p {
	case ProfileReview:
		return Options{
			PermissionMode: protocol.ModePlan, Tools: slices.Clone(readers), AllowedTools: slices.Clone(readers),
			DisallowedTools: append([]string{"Bash", "Write", "Edit", "NotebookEdit"}, web...),
			MaxTurns:        50, MaxBudgetUSD: 2, TurnTimeout: 30 * time.Minute, ConfineFiles: new(true),
		}
	case ProfileCI:
		return Options{
			PermissionMode: protocol.ModeDontAsk, AllowedTools: slices.Clone(readers), DisallowedTools: web, Sandbox: strict,
			MaxTurns: 100, MaxBudgetUSD: 5, TurnTimeout: time.Hour, ConfineFiles: new(true),
		}
	case ProfileEdit:
		return Options{
			PermissionMode: protocol.ModeAcceptEdits, AllowedTools: slices.Clone(readers), DisallowedTools: web, Sandbox: strict,
			MaxTurns: 100, MaxBudgetUSD: 5, TurnTimeout: time.Hour, ConfineFiles: new(true),
		}
	case ProfileInteractive:
		return Options{
			PermissionMode: protocol.ModeDefault, AllowedTools: slices.Clone(readers), DisallowedTools: web, Sandbox: strict,
			MaxBudgetUSD: 20, ConfineFiles: new(true),
		}
	}
	return Options{}
}

// Effective are the options as they count: with the profile filled in.
func (o Options) Effective() Options {
	if o.Profile == "" {
		return o
	}
	p := o.Profile.Options()
	if o.PermissionMode == "" {
		o.PermissionMode = p.PermissionMode
	}
	if o.Tools == nil {
		o.Tools = p.Tools
	}
	if o.AllowedTools == nil {
		o.AllowedTools = p.AllowedTools
	}
	o.DisallowedTools = slices.Clone(o.DisallowedTools)
	for _, rule := range p.DisallowedTools {
		if !slices.Contains(o.DisallowedTools, rule) && !slices.Contains(o.AllowedTools, rule) {
			o.DisallowedTools = append(o.DisallowedTools, rule)
		}
	}
	if o.MaxTurns == 0 {
		o.MaxTurns = p.MaxTurns
	}
	if o.MaxBudgetUSD == 0 {
		o.MaxBudgetUSD = p.MaxBudgetUSD
	}
	if o.TurnTimeout == 0 {
		o.TurnTimeout = p.TurnTimeout
	}
	if o.ConfineFiles == nil {
		o.ConfineFiles = p.ConfineFiles
	}
	o.Sandbox = o.Sandbox.over(p.Sandbox)
	return o
}

// over fills in what is not set from below. Lists that forbid are united.
func (s Sandbox) over(below Sandbox) Sandbox {
	first := func(mine, theirs *bool) *bool {
		if mine != nil {
			return mine
		}
		return theirs
	}
	s.Enabled = first(s.Enabled, below.Enabled)
	s.FailIfUnavailable = first(s.FailIfUnavailable, below.FailIfUnavailable)
	s.AllowUnsandboxedCommands = first(s.AllowUnsandboxedCommands, below.AllowUnsandboxedCommands)
	s.AutoAllowBashIfSandboxed = first(s.AutoAllowBashIfSandboxed, below.AutoAllowBashIfSandboxed)
	s.Network.StrictAllowlist = first(s.Network.StrictAllowlist, below.Network.StrictAllowlist)
	deny := slices.Clone(s.Filesystem.DenyRead)
	for _, place := range below.Filesystem.DenyRead {
		if !slices.Contains(deny, place) {
			deny = append(deny, place)
		}
	}
	s.Filesystem.DenyRead = deny
	return s
}

// Loosening is an option that allows more than the profile does.
type Loosening struct {
	Option  string // its key, such as sandbox.enabled
	Profile string // what the profile has
	Set     string // what counts instead
}

func (l Loosening) String() string {
	return fmt.Sprintf("%s is %s, the profile has %s", l.Option, l.Set, l.Profile)
}

// strictness of the permission modes, the strictest first. dontAsk runs what rules allow and nothing else; default asks
// somebody, who may say yes.
var strictness = []protocol.PermissionMode{
	protocol.ModePlan, protocol.ModeDontAsk, protocol.ModeDefault, protocol.ModeManual, protocol.ModeAcceptEdits, protocol.ModeAuto, protocol.ModeBypassPermissions,
}

// Loosened is where the options allow more than their profile. Without a profile there is nothing to compare with.
func (o Options) Loosened() []Loosening {
	if o.Profile == "" {
		return nil
	}
	p, e := o.Profile.Options(), o.Effective()
	var out []Loosening
	add := func(option string, profile, set any) {
		out = append(out, Loosening{option, fmt.Sprint(profile), fmt.Sprint(set)})
	}
	if slices.Index(strictness, e.PermissionMode) > slices.Index(strictness, p.PermissionMode) {
		add("permission_mode", p.PermissionMode, e.PermissionMode)
	}
	extra := func(option string, mine, theirs []string) {
		var more []string
		for _, rule := range mine {
			if !slices.Contains(theirs, rule) {
				more = append(more, rule)
			}
		}
		if len(more) > 0 {
			add(option, "["+strings.Join(theirs, ", ")+"]", "also ["+strings.Join(more, ", ")+"]")
		}
	}
	if p.Tools != nil {
		extra("tools", e.Tools, p.Tools)
	}
	if o.Profile != ProfileCI { // which commands a pipeline needs is for its configuration to say
		extra("allowed_tools", e.AllowedTools, p.AllowedTools)
	}
	for _, rule := range p.DisallowedTools {
		if !slices.Contains(e.DisallowedTools, rule) {
			add("disallowed_tools", rule, "without it")
		}
	}
	if p.MaxTurns > 0 && e.MaxTurns > p.MaxTurns {
		add("max_turns", p.MaxTurns, e.MaxTurns)
	}
	if e.MaxBudgetUSD > p.MaxBudgetUSD {
		add("max_budget_usd", p.MaxBudgetUSD, e.MaxBudgetUSD)
	}
	if p.TurnTimeout > 0 && e.TurnTimeout > p.TurnTimeout {
		add("turn_timeout", p.TurnTimeout, e.TurnTimeout)
	}
	if is(p.ConfineFiles) && !is(e.ConfineFiles) {
		add("confine_files", true, false)
	}
	if e.TrustWorkspace {
		add("trust_workspace", false, true)
	}
	if len(e.SettingSources) > 0 {
		add("setting_sources", "none", strings.Join(e.SettingSources, ", "))
	}
	if p.Sandbox.On() {
		switched := func(option string, profile, set *bool) {
			if set == nil || *profile != *set {
				add("sandbox."+option, *profile, set != nil && *set)
			}
		}
		switched("enabled", p.Sandbox.Enabled, e.Sandbox.Enabled)
		switched("failIfUnavailable", p.Sandbox.FailIfUnavailable, e.Sandbox.FailIfUnavailable)
		switched("allowUnsandboxedCommands", p.Sandbox.AllowUnsandboxedCommands, e.Sandbox.AllowUnsandboxedCommands)
		switched("autoAllowBashIfSandboxed", p.Sandbox.AutoAllowBashIfSandboxed, e.Sandbox.AutoAllowBashIfSandboxed)
		switched("network.strictAllowlist", p.Sandbox.Network.StrictAllowlist, e.Sandbox.Network.StrictAllowlist)
		if len(e.Sandbox.ExcludedCommands) > 0 {
			add("sandbox.excludedCommands", "none", strings.Join(e.Sandbox.ExcludedCommands, ", "))
		}
		if is(e.Sandbox.Filesystem.Disabled) {
			add("sandbox.filesystem.disabled", false, true)
		}
	}
	return out
}

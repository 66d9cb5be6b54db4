package lint

import (
	"slices"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// runs reports whether the session can run commands.
func runs(o session.Options) bool {
	if o.Tools != nil && !slices.Contains(o.Tools, "Bash") && !slices.Contains(o.Tools, "default") {
		return false
	}
	for _, text := range o.DisallowedTools {
		if r, err := session.ParseRule(text); err == nil && r.Tool == "Bash" && r.Of == "" {
			return false
		}
	}
	switch o.PermissionMode {
	case protocol.ModeBypassPermissions, protocol.ModeAuto, protocol.ModeAcceptEdits:
		return true
	}
	return allows(o, "Bash") || is(o.Sandbox.AutoAllowBashIfSandboxed)
}

func allows(o session.Options, tool string) bool {
	return slices.ContainsFunc(o.AllowedTools, func(text string) bool {
		r, err := session.ParseRule(text)
		return err == nil && r.Tool == tool
	})
}

func permissionMode(l *look) {
	switch l.o.PermissionMode {
	case protocol.ModeBypassPermissions:
		l.at("permission_mode", "nothing that the agent does is asked about")
	case protocol.ModeAcceptEdits, protocol.ModeAuto:
		if !l.o.Sandbox.On() {
			l.milder(Warning, "permission_mode", "%s without a sandbox", l.o.PermissionMode)
		}
	case "":
		l.milder(Warning, "permission_mode", "no permission mode is set; the CLI's default asks, and what is asked may be allowed")
	}
	if l.o.DangerouslySkipPermissions {
		l.at("dangerously_skip_permissions", "nothing that the agent does is asked about")
	}
}

func minimalTools(l *look) {
	if l.o.Tools == nil && l.o.AllowedTools == nil {
		l.at("allowed_tools", "no tools are named: the session has all of them")
	}
	for _, f := range session.ReviewRules(l.o) {
		if f.Trouble == session.RuleTooWide || f.Trouble == session.RuleEvaded {
			l.report(l.rule.Severity, f.List, f.Rule+": "+f.Why, f.Fix)
		}
	}
	if allows(l.o, "Write") && allows(l.o, "Bash") && allows(l.o, "WebFetch") {
		l.at("allowed_tools", "it may fetch, write and run what it has fetched")
	}
}

func unanswered(l *look) {
	if m := l.o.PermissionMode; (m == protocol.ModeDefault || m == protocol.ModeManual || m == "" || m == protocol.ModeAcceptEdits) && l.owner.Kind == "session" {
		l.at("permission_mode", "questions wait for somebody, %v at most", max(l.o.PermissionTimeout, session.DefaultPermissionTimeout))
	}
}

func networkTools(l *look) {
	for _, tool := range []string{"WebFetch", "WebSearch"} {
		if slices.ContainsFunc(l.o.AllowedTools, func(text string) bool {
			r, err := session.ParseRule(text)
			return err == nil && r.Tool == tool && r.Of == ""
		}) && !slices.Contains(l.o.DisallowedTools, tool) {
			l.at("allowed_tools", "%s to anywhere, beside tools that read files", tool)
		}
	}
}

func rulesWithoutEffect(l *look) {
	for _, f := range session.ReviewRules(l.o) {
		if f.Trouble == session.RuleMatchesNothing || f.Trouble == session.RuleContradicted {
			l.report(l.rule.Severity, f.List, f.Rule+" "+string(f.Trouble)+": "+f.Why, f.Fix)
		}
	}
}

func loosened(l *look) {
	for _, x := range l.owner.Options.Loosened() {
		l.at(x.Option, "%s", x)
	}
}

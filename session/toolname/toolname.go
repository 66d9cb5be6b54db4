// Package toolname knows the tools of the CLI that were renamed. The CLI still takes their earlier names, and says now the one
// and now the other of the same use. As of CLI 2.1.330, of the tool that starts a subagent:
//
//	Agent   the API's list of tools, hooks, questions about permissions, denials, messages about rules
//	Task    the list of tools in the init frame, permission_denials in results
//	either  the frame of the tool use and hooks of PostToolBatch have what the model has called it
//
// What this program says itself (the audit log, events, metrics, limits) has the name that a tool has now; what it is asked for is
// found by either. Frames are passed on as they come.
package toolname

import (
	"maps"
	"slices"
)

// renamed are the names that tools had, and those that they have now.
var renamed = map[string]string{
	"Task": "Agent", "KillShell": "TaskStop", "KillBash": "TaskStop", "ListPeers": "ListAgents", "Brief": "SendUserMessage",
	"ListMcpResources": "ListMcpResourcesTool", "ReadMcpResource": "ReadMcpResourceTool", "ReadMcpResourceDir": "ReadMcpResourceDirTool",
	"ProposeGoal": "SetGoal", "Eval": "REPL",
}

// earlier are the names that each tool had, sorted.
var earlier = func() map[string][]string {
	names := make(map[string][]string)
	for _, name := range slices.Sorted(maps.Keys(renamed)) {
		names[renamed[name]] = append(names[renamed[name]], name)
	}
	return names
}()

// Now is the name that a tool has now: the given one, if it was not renamed.
func Now(name string) string {
	if now, ok := renamed[name]; ok {
		return now
	}
	return name
}

// All are all names of the tool that is meant by one of them: first the one that it has now, then those that it had.
func All(name string) []string {
	now := Now(name)
	return append([]string{now}, earlier[now]...)
}

// Of are all names of all these tools, each once.
func Of(names []string) []string {
	var all []string
	for _, name := range names {
		for _, one := range All(name) {
			if !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	return all
}

// Any reports whether one of the names of a tool fits.
func Any(name string, fits func(name string) bool) bool { return slices.ContainsFunc(All(name), fits) }

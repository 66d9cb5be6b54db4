package understudy

import (
	"context"
	"fmt"
	"time"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// Node is a supervisor, a session or a worker of the tree.
type Node = debug.Node

// Tree describes the whole tree, as it is now. It waits for no session: a hanging one is shown as it is.
func (rt *Runtime) Tree(ctx context.Context) (Node, error) {
	tree, err := rt.root.Tree(ctx)
	if err != nil {
		return Node{}, err
	}
	root := rt.node(tree)
	root.SharedBudgets = budgetNodes(rt.Budgets())
	rt.mu.Lock()
	configured := make(map[string]bool)
	for _, s := range sessionsOf(rt.options.Sessions, rt.options.Groups) {
		configured[s.Name] = true
	}
	rt.mu.Unlock()
	markConfigured(&root, configured)
	return root, nil
}

func markConfigured(n *Node, configured map[string]bool) {
	if n.SessionFields != nil {
		n.Configured = configured[n.Name]
	}
	for i := range n.Children {
		markConfigured(&n.Children[i], configured)
	}
}

// Supervision is the tree as its supervisors see it: what Tree shows, without what sessions know of themselves.
func (rt *Runtime) Supervision(ctx context.Context) (supervisor.Node, error) {
	return rt.root.Tree(ctx)
}

func (rt *Runtime) node(n supervisor.Node) Node {
	node := Node{
		Name: n.Name, Kind: string(n.Kind), State: string(n.State), Since: n.Since, Restarts: n.Restarts,
		Restart: string(n.Restart), Strategy: string(n.Strategy), Mailbox: n.PID.Info().Depth,
	}
	if !n.NextTry.IsZero() {
		node.NextTry = &n.NextTry
	}
	if n.Reason != nil {
		node.Reason = n.Reason.Error()
	}
	if rt.trail != nil && n.Path == "root/"+auditChild && n.State == supervisor.Running {
		if err := rt.trail.Health(); err != nil { // its actor is not restarted for that
			node.Reason = err.Error()
		}
	}
	for _, exit := range n.LastExits {
		node.LastExits = append(node.LastExits, exitNode(exit.At, exit.Reason))
	}
	if len(node.LastExits) > 0 {
		node.LastExit = &node.LastExits[0]
	}
	if n.Intensity != nil {
		node.Intensity = &debug.Intensity{MaxRestarts: n.Intensity.MaxRestarts, MaxSeconds: n.Intensity.Within.Seconds(), Used: n.Used}
	}
	for _, child := range n.Children {
		shown := rt.node(child)
		if n.Path == rt.sessions.path && child.Kind == supervisor.Worker && shown.SessionFields == nil {
			continue // removed, since its supervisor was asked
		}
		node.Children = append(node.Children, shown)
	}
	rt.mu.Lock()
	m, pool := rt.known[n.Name], rt.pools[n.Name]
	rt.mu.Unlock()
	if pool != nil && pool.home.path == n.Path {
		state := pool.State()
		node.Pool = &debug.Pool{
			Sessions: state.Sessions, Busy: state.Busy, Failed: state.Failed, Min: state.Min, Max: state.Max, Waiting: state.Waiting, MaxQueue: state.MaxQueue,
		}
	}
	if m != nil && m.path == n.Path {
		addSession(&node, n, m.Info())
		node.Drift = driftOf(m.Drift())
	} else if info, ok := rt.waiting(n.Path, n.Name); ok {
		addSession(&node, n, info)
		node.Kind = string(n.Kind) // it is no session yet
	}
	return node
}

func exitNode(at time.Time, reason error) debug.Exit {
	text := "normal"
	if reason != nil {
		text = reason.Error()
	}
	return debug.Exit{At: at, Reason: text}
}

// addSession fills in what the session knows about itself.
func addSession(node *Node, n supervisor.Node, info session.Info) {
	node.Kind = "session"
	node.Mailbox = info.Mailbox
	switch n.State {
	case supervisor.Running: // the session knows more precisely
		node.State, node.Since = string(info.State), info.Since
	case supervisor.Stopping:
		node.State = string(session.Draining)
	}
	node.SessionFields = &debug.SessionFields{
		SessionID: info.SessionID, PID: info.PID, Generation: info.Generation, Queue: info.Queue, Approvals: info.Approvals,
		Subagents: info.Subagents, Turns: info.Turns, CostUSD: info.CostUSD, BudgetUSD: info.Budget, Model: info.Model, Mode: info.Mode,
		CWD: info.CWD, CLIVersion: info.Version, Tool: info.Tool, ToolArg: info.ToolArg, Unknown: info.Unknown, APIRetries: info.APIRetries,
		Budgets: info.Budgets, Ephemeral: info.Ephemeral, Turn: info.Turn, TurnSince: known(info.TurnSince),
		Tokens: debug.Tokens(info.Tokens), ContextTokens: info.ContextTokens, ContextWindow: info.ContextWindow,
	}
	node.Waits, node.HeldUntil, node.Unsaved = info.Waits, known(info.HeldUntil), info.Unsaved
	if r := info.Retry; r != nil {
		node.Retry = fmt.Sprintf("attempt %d of %d: %s", r.Attempt, r.Most, r.Error)
	}
	if info.Refusing != nil {
		node.Refusing = info.Refusing.Error()
	}
	if !info.StartedAt.IsZero() && info.PID != 0 {
		node.StartedAt = &info.StartedAt
		for _, l := range info.Containment {
			node.Containment = append(node.Containment, string(l))
		}
	}
}

// driftOf is what a session does not know of its CLI, in one table.
func driftOf(d session.Drift) map[string]uint64 {
	all := make(map[string]uint64)
	for prefix, counter := range map[string]map[string]uint64{"frame ": d.Frames, "field ": d.Fields, "request ": d.Requests} {
		for what, n := range counter {
			all[prefix+what] = n
		}
	}
	return all
}

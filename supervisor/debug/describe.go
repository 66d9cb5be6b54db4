package debug

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// look is how a state is shown: in a text, and by a class of colours that never says more than the word.
type look struct {
	symbol string
	tone   string // good, busy, calm, warn, bad
}

var looks = map[string]look{
	"starting":   {"◌", "calm"},
	"idle":       {"○", "good"},
	"running":    {"●", "good"},
	"busy":       {"▶", "busy"},
	"waiting":    {"◆", "warn"},
	"restarting": {"↻", "warn"},
	"held":       {"◷", "warn"},
	"hibernated": {"☾", "calm"},
	StateKept:    {"□", "calm"},
	"warm":       {"◎", "calm"},
	"draining":   {"◑", "calm"},
	"stopping":   {"◓", "calm"},
	"stopped":    {"■", "calm"},
	"failed":     {"✖", "bad"},
}

func lookOf(state string) look {
	if l, ok := looks[state]; ok {
		return l
	}
	return look{"·", "calm"}
}

// inTrouble reports whether somebody may have to do something about a node.
func inTrouble(n Node) bool { return n.State == "failed" || n.State == "restarting" }

// troubled gives the nodes in trouble at or below root: those that failed first, then those that are tried again, then
// those whose next restart is too many.
func troubled(root *Node) []spot {
	var failed, retried, brink []spot
	var walk func(n *Node, path string)
	walk = func(n *Node, path string) {
		switch r := (spot{node: n, path: path}); {
		case n.State == "failed":
			failed = append(failed, r)
		case inTrouble(*n):
			retried = append(retried, r)
		case onTheBrink(*n):
			brink = append(brink, r)
		}
		for i := range n.Children {
			walk(&n.Children[i], path+"/"+n.Children[i].Name)
		}
	}
	walk(root, root.Name)
	return append(append(failed, retried...), brink...)
}

// trouble says in words what is wrong with a node and what comes next; "" if nothing is.
func trouble(n Node, now time.Time) string {
	switch {
	case !inTrouble(n):
		return ""
	case n.State == "failed":
		return why(n) + "; not tried again until it is restarted"
	}
	return why(n) + "; " + nextTry(n, now)
}

// why is the reason of a node's trouble.
func why(n Node) string {
	switch {
	case n.Reason != "":
		return n.Reason
	case n.LastExit != nil && n.LastExit.Reason != "":
		return n.LastExit.Reason
	}
	return "no reason is known"
}

// onTheBrink reports whether one more restart of a node is too many.
func onTheBrink(n Node) bool {
	return n.Intensity != nil && n.Intensity.MaxRestarts > 0 && n.Intensity.Used >= n.Intensity.MaxRestarts && n.State != "failed" && n.State != "stopped"
}

func nextTry(n Node, now time.Time) string {
	switch {
	case n.NextTry == nil:
		return "starting again"
	case !n.NextTry.After(now):
		return "next try now"
	default:
		return "next try in " + age(roundUp(n.NextTry.Sub(now)))
	}
}

// roundUp keeps a wait from being shown as 0s.
func roundUp(d time.Duration) time.Duration {
	if up := d.Truncate(time.Second); up < d {
		return up + time.Second
	}
	return d
}

// age is a duration at the precision that a person wants: 12s, 3m04s, 4h05m, 3d04h.
func age(d time.Duration) string {
	seconds := int64(max(d, 0) / time.Second)
	minutes, hours, days := seconds/60, seconds/3600, seconds/86400
	switch {
	case minutes == 0:
		return fmt.Sprintf("%ds", seconds)
	case hours == 0:
		return fmt.Sprintf("%dm%02ds", minutes, seconds%60)
	case days == 0:
		return fmt.Sprintf("%dh%02dm", hours, minutes%60)
	default:
		return fmt.Sprintf("%dd%02dh", days, hours%24)
	}
}

// ageOf is the age of something that began at t, "" if that is not known.
func ageOf(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return age(now.Sub(t))
}

func dollars(amount float64) string { return "$" + strconv.FormatFloat(amount, 'f', 2, 64) }

// cost is what a session has used of its money.
func cost(s *SessionFields) string {
	if s.BudgetUSD > 0 {
		return dollars(s.CostUSD) + "/" + dollars(s.BudgetUSD)
	}
	return dollars(s.CostUSD)
}

// restarts is what a node has used of the restarts it is allowed, and in parentheses those of its life.
func restarts(n Node) string {
	switch {
	case n.Intensity == nil && n.Restarts == 0:
		return ""
	case n.Intensity == nil:
		return fmt.Sprintf("(%d)", n.Restarts)
	case n.Restarts > n.Intensity.Used:
		return fmt.Sprintf("%d/%d (%d)", n.Intensity.Used, n.Intensity.MaxRestarts, n.Restarts)
	default:
		return fmt.Sprintf("%d/%d", n.Intensity.Used, n.Intensity.MaxRestarts)
	}
}

// doing is the tool that a session is using, or why it begins no turn, and how much of a pool is in use; and that the audit log
// does not work.
func doing(n Node) string {
	switch {
	case n.Pool != nil:
		return fmt.Sprintf("%d of %d busy, up to %d", n.Pool.Busy, n.Pool.Sessions, n.Pool.Max)
	case n.SessionFields == nil && n.State == "running" && n.Reason != "":
		return "cannot be written"
	case n.SessionFields == nil:
		return ""
	case n.Tool == "" && n.Refusing != "":
		return "refuses turns: the audit log is down"
	case n.Tool == "" && n.Waits != "":
		return "waits for " + n.Waits
	case n.Tool == "":
		return ""
	}
	return strings.TrimSpace(n.Tool + " " + n.ToolArg)
}

// waiting is how many queries, and messages of other kinds, wait for a node; of a pool, how many of those that may.
func waiting(n Node) string {
	switch {
	case n.Pool != nil:
		return fmt.Sprintf("%d/%d", n.Pool.Waiting, n.Pool.MaxQueue)
	case n.SessionFields != nil && n.Mailbox > 0:
		return fmt.Sprintf("%d +%d", n.Queue, n.Mailbox)
	case n.SessionFields != nil:
		return strconv.Itoa(n.Queue)
	case n.Mailbox > 0:
		return fmt.Sprintf("+%d", n.Mailbox)
	default:
		return ""
	}
}

// harmless makes text of others fit for a line on a terminal: no control characters, which could move the
// cursor or more, and none that turn the direction of writing.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		default: // controls, bidirectional marks, private use, U+FFFD's like
			return unicode.ReplacementChar
		}
	}, text)
}

package session

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"
)

// longestCycle is how many calls go round at most that are taken for a cycle.
const longestCycle = 4

// shortCall is how long a call takes at most that is part of a cycle. One that takes longer may be what an agent waits with, between
// two looks at something that does not change for hours; and one that goes to and fro without ever waiting has no such call.
const shortCall = 2 * time.Second

// keptCalls are more than a cycle and what an agent has running at a time. Results of calls before them are not compared.
const keptCalls = 64

// cycles follows the calls of an agent that makes the same few of them, one after the other, again and again: with the same inputs
// and, as far as they are known, the same results. It is a pure function of the calls.
type cycles struct {
	calls []made                // the last ones, oldest first
	run   [longestCycle + 1]int // how many of them, up to the last, are as the ones so many places before
	told  bool                  // that calls are denied
	ended bool                  // and that this has been ended
}

// made is a call that was made.
type made struct {
	use, tool    string
	call, result [sha256.Size]byte
	over         bool // result is known
	slow         bool
}

// goesRound reports whether the call p places behind another one may be the same in the next round.
func (m *made) goesRound(next *made) bool {
	return m.call == next.call && !m.slow && !next.slow && (!m.over || !next.over || m.result == next.result)
}

// begins takes a call, and says which round of a cycle it is the last one of, and of which: 1 and no tools if there was none before.
func (c *cycles) begins(use, tool string, call [sha256.Size]byte) (round int, tools []string) {
	if len(c.calls) >= keptCalls {
		c.calls = slices.Delete(c.calls, 0, 1)
	}
	next := made{use: use, tool: tool, call: call}
	c.calls = append(c.calls, next)
	n := len(c.calls)
	round = 1
	for p := 2; p <= longestCycle; p++ {
		if n <= p || !c.calls[n-1-p].goesRound(&next) {
			c.run[p] = 0
			continue
		}
		c.run[p]++
		last := c.calls[n-p:]
		alike := !slices.ContainsFunc(last, func(m made) bool { return m.call != last[0].call }) // that is a row of one call
		if r := c.run[p]/p + 1; r > round && !alike {
			round, tools = r, nil
			for _, m := range last {
				tools = append(tools, m.tool)
			}
		}
	}
	return round, tools
}

// ends takes the result of a call, and how long it took. What it tells from the call in the round before, or behind it, ends the cycle.
func (c *cycles) ends(use string, result [sha256.Size]byte, took time.Duration) {
	n := len(c.calls)
	i := n - 1
	for i >= 0 && c.calls[i].use != use {
		i--
	}
	if i < 0 {
		return
	}
	m := &c.calls[i]
	m.over, m.result, m.slow = true, result, took > shortCall
	for p := 2; p <= longestCycle; p++ {
		if j := i - p; j >= 0 && !c.calls[j].goesRound(m) {
			c.run[p] = min(c.run[p], n-1-i)
		}
		if j := i + p; j < n && !m.goesRound(&c.calls[j]) {
			c.run[p] = min(c.run[p], n-1-j)
		}
	}
}

// cycleText names the tools of a cycle.
func cycleText(tools []string) string {
	return strings.Join(tools[:len(tools)-1], ", ") + " and " + tools[len(tools)-1]
}

// resultDigest is a result as it is compared.
func resultDigest(text string, isError bool) [sha256.Size]byte {
	if isError {
		return sha256.Sum256([]byte("error\x00" + text))
	}
	return sha256.Sum256([]byte("\x00" + text))
}

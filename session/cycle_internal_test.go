package session

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// steps plays calls: a letter is a call and its result, which is "same" unless a digit follows; a ~ behind it says that it took
// long, a ? that its result is not there yet. It returns the rounds of all.
func steps(c *cycles, text string) (rounds []int, tools []string) {
	for i := 0; i < len(text); i++ {
		name, result, took, pending := text[i:i+1], "same", time.Second, false
		for i+1 < len(text) && strings.ContainsRune("0123456789~?", rune(text[i+1])) {
			i++
			switch text[i] {
			case '~':
				took = time.Minute
			case '?':
				pending = true
			default:
				result = text[i : i+1]
			}
		}
		use := fmt.Sprint(len(rounds))
		var round int
		round, tools = c.begins(use, name, sha256.Sum256([]byte(name)))
		rounds = append(rounds, round)
		if !pending {
			c.ends(use, resultDigest(result, false), took)
		}
	}
	return rounds, tools
}

func TestCallsThatGoRound(t *testing.T) {
	// What the result of the last call will be is not known yet: what changes may be in its second round until it is, and never in a third.
	for name, test := range map[string]struct {
		calls  string
		rounds []int
		tools  []string // of the last one's cycle
	}{
		"to and fro":                     {"ababab", []int{1, 1, 1, 2, 2, 3}, []string{"a", "b"}},
		"three":                          {"abcabca", []int{1, 1, 1, 1, 1, 2, 2}, []string{"b", "c", "a"}},
		"four":                           {"abcdabcdabcd", []int{1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3}, []string{"a", "b", "c", "d"}},
		"five are too many":              {"abcdeabcdeabcde", []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, nil},
		"one twice, and another one":     {"aabaabaab", []int{1, 1, 1, 1, 1, 2, 2, 2, 3}, []string{"a", "a", "b"}},
		"one alone is no cycle":          {"aaaaaaaa", []int{1, 1, 1, 1, 1, 1, 1, 1}, nil},
		"something else in between":      {"ababxabab", []int{1, 1, 1, 2, 1, 1, 1, 1, 2}, []string{"a", "b"}},
		"it begins late":                 {"xyabab", []int{1, 1, 1, 1, 1, 2}, []string{"a", "b"}},
		"a look, and a wait":             {"ab~ab~ab~a", []int{1, 1, 1, 1, 1, 1, 1}, nil},
		"a look that takes long":         {"a~ba~ba~b", []int{1, 1, 1, 1, 1, 1}, nil},
		"one wait, and then none":        {"ab~ababab", []int{1, 1, 1, 1, 1, 2, 2, 3}, []string{"a", "b"}},
		"what is seen changes":           {"a1ba2ba3ba4", []int{1, 1, 1, 1, 2, 1, 2}, []string{"b", "a"}},
		"what is seen changes back":      {"a1ba2ba1ba2ba1b", []int{1, 1, 1, 1, 2, 1, 2, 2, 2, 2}, []string{"a", "b", "a", "b"}},
		"results that are not there yet": {"a?b?a?b?a?b?", []int{1, 1, 1, 2, 2, 3}, []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var c cycles
			rounds, tools := steps(&c, test.calls)
			assert.Equal(t, test.rounds, rounds)
			assert.Equal(t, test.tools, tools)
		})
	}
	t.Run("a result that comes late and differs", func(t *testing.T) {
		var c cycles
		steps(&c, "aba?b")
		c.ends("2", resultDigest("other", false), 0)
		rounds, _ := steps(&c, "ab")
		assert.Equal(t, []int{2, 1}, rounds, "it ends when a has its result")
	})
	t.Run("an error is another result", func(t *testing.T) {
		assert.NotEqual(t, resultDigest("x", true), resultDigest("x", false))
	})
	assert.Equal(t, "a, b and c", cycleText([]string{"a", "b", "c"}))
}

// Polling is never taken for a cycle: whatever an agent does again and again, if it waits once a round, or sees something new.
func TestPollingIsNoCycle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c cycles
		round := rapid.SliceOfN(rapid.StringMatching(`[abc]`), 1, longestCycle).Draw(t, "round")
		at := rapid.IntRange(0, len(round)-1).Draw(t, "at")
		waits := rapid.Bool().Draw(t, "waits")
		for i := range 40 {
			for j, tool := range round {
				use := fmt.Sprint(i, ".", j)
				n, tools := c.begins(use, tool, sha256.Sum256([]byte(tool)))
				result, took := "same", time.Millisecond
				if j == at && waits {
					took = 3 * time.Second
				} else if j == at {
					result = fmt.Sprint("seen ", i)
				}
				if n > 2 { // a part of a round may go round itself: twice at most before it comes to what breaks it
					t.Fatalf("%v, call %d of round %d is round %d of %v", round, j, i, n, tools)
				}
				c.ends(use, resultDigest(result, false), took)
			}
		}
	})
}

// What is kept of the calls says the same as all of them would.
func TestCyclesAreThoseOfAllCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c cycles
		var all []made
		open := []int{}
		n := rapid.IntRange(1, 120).Draw(t, "calls")
		for i := range n {
			tool := rapid.SampledFrom([]string{"a", "a", "b", "b", "c"}).Draw(t, "tool")
			next := made{use: fmt.Sprint(i), tool: tool, call: sha256.Sum256([]byte(tool))}
			all, open = append(all, next), append(open, i)
			round, _ := c.begins(next.use, tool, next.call)
			want := 1
			for p := 2; p <= longestCycle; p++ {
				run := 0
				for j := i; j >= p && all[j-p].goesRound(&all[j]); j-- {
					run++
				}
				last := all[max(0, i+1-p) : i+1]
				if !slices.ContainsFunc(last, func(m made) bool { return m.call != last[0].call }) {
					run = 0
				}
				if run > 0 {
					want = max(want, run/p+1)
				}
			}
			if round != want {
				t.Fatalf("call %d is in round %d, got %d", i, want, round)
			}
			for len(open) > 0 && (len(open) > 20 || rapid.Bool().Draw(t, "ends")) {
				k := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				j := open[k]
				open = slices.Delete(open, k, k+1)
				if j <= i-keptCalls {
					continue // is not compared
				}
				result, took := resultDigest(rapid.SampledFrom([]string{"x", "x", "x", "y"}).Draw(t, "result"), false), time.Duration(0)
				if rapid.IntRange(0, 9).Draw(t, "slow") == 0 {
					took = time.Minute
				}
				all[j].over, all[j].result, all[j].slow = true, result, took > shortCall
				c.ends(all[j].use, result, took)
			}
		}
		if len(c.calls) > keptCalls {
			t.Fatalf("%d calls are kept", len(c.calls))
		}
	})
}

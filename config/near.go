package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// near is the candidate that was probably meant, or "".
func near(got string, candidates []string) string {
	want := snake(got)
	if len(want) > 64 {
		return "" // no key of ours, and the distance costs the product of the lengths
	}
	best, limit := "", max(1, min(3, len(want)/3))
	for _, c := range candidates {
		if d := editDistance(want, snake(c)); d < limit || d == limit && best == "" {
			best, limit = c, d
		}
	}
	if best == "" && len(want) >= 3 { // the beginning of exactly one
		for _, c := range candidates {
			switch {
			case !strings.HasPrefix(snake(c), want):
			case best != "":
				return ""
			default:
				best = c
			}
		}
	}
	return best
}

// snake brings the spellings of other programs together: maxTurns, max-turns and MaxTurns are max_turns.
func snake(s string) string {
	var b strings.Builder
	lower := false
	for _, r := range s {
		switch {
		case r == '-' || r == ' ' || r == '.':
			r = '_'
		case unicode.IsUpper(r):
			if lower {
				b.WriteByte('_')
			}
			lower = false
			b.WriteRune(unicode.ToLower(r))
			continue
		}
		lower = unicode.IsLower(r) || unicode.IsDigit(r)
		b.WriteRune(r)
	}
	return b.String()
}

// editDistance counts insertions, deletions, replacements and exchanges of neighbours.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

// suggest is the hint for a word that is none of the candidates.
func suggest(got string, candidates []string) string {
	if n := near(got, candidates); n != "" {
		return fmt.Sprintf("did you mean %s?", n)
	}
	return ""
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func listed(words []string) string {
	words = slices.Clone(words)
	slices.Sort(words)
	return strings.Join(words, ", ")
}

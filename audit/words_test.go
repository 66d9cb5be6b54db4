package audit

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 0, 12, -1)
		word := rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 1, 4, -1)
		sets := rapid.SliceOfN(rapid.SliceOfN(word, 1, 3), 1, 5).Draw(t, "sets")
		w := newWords(sets)
		s := text.Draw(t, "text")
		got := wordsIn(w, s)
		for i, set := range sets {
			want := false
			for _, word := range set {
				want = want || strings.Contains(s, word)
			}
			if want != (got&(1<<i) != 0) {
				t.Fatalf("set %d: %v, want %v", i, !want, want)
			}
		}
	})
}

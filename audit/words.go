package audit

// words finds which of many words a text has, in one pass over it (Aho and Corasick).
type words struct {
	next  [][256]uint16
	found []uint32 // by state: the sets whose words end there
}

// newWords makes the automaton for sets of words. There are no more than 32 sets.
func newWords(sets [][]string) *words {
	w := &words{next: make([][256]uint16, 1), found: make([]uint32, 1)}
	for set, list := range sets {
		for _, word := range list {
			state := uint16(0)
			for i := range len(word) {
				if w.next[state][word[i]] == 0 {
					w.next = append(w.next, [256]uint16{})
					w.found = append(w.found, 0)
					w.next[state][word[i]] = uint16(len(w.next) - 1)
				}
				state = w.next[state][word[i]]
			}
			w.found[state] |= 1 << set
		}
	}
	// From the root on, what a state has no edge for goes where its longest proper suffix goes.
	back := make([]uint16, len(w.next))
	queue := make([]uint16, 0, len(w.next))
	for _, state := range w.next[0] {
		if state != 0 {
			queue = append(queue, state)
		}
	}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		w.found[state] |= w.found[back[state]]
		for c, to := range w.next[state] {
			if to == 0 {
				w.next[state][c] = w.next[back[state]][c]
				continue
			}
			back[to] = w.next[back[state]][c]
			queue = append(queue, to)
		}
	}
	return w
}

// wordsIn returns the sets of which a word is in s.
func wordsIn[T string | []byte](w *words, s T) uint32 {
	state, found := uint16(0), uint32(0)
	for i := range len(s) {
		state = w.next[state][s[i]]
		found |= w.found[state]
	}
	return found
}

package session

// StoredQueue is how many prompts a record on disk says to be waiting or running.
func StoredQueue(dir, name string) int {
	r, err := store{dir}.read(name)
	if err != nil {
		return -1
	}
	return len(r.Queue)
}

// StoredAttempts is how often each of them was given to a process.
func StoredAttempts(dir, name string) (attempts []int) {
	r, _ := store{dir}.read(name)
	for _, q := range r.Queue {
		attempts = append(attempts, q.Attempts)
	}
	return attempts
}

// Owed is what a session's running turn has told a budget.
func Owed(b *Budget, session string) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.owed[session]
}

package session

// StoredQueue is how many prompts a record on disk says to be waiting or running.
func StoredQueue(dir, name string) int {
	r, err := store{dir}.read(name)
	if err != nil {
		return -1
	}
	return len(r.Queue)
}

// Owed is what a session's running turn has told a budget.
func Owed(b *Budget, session string) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.owed[session]
}

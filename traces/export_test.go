package traces

// Remembered is of how many sessions something is kept.
func Remembered(t *Tracer) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.lives)
}

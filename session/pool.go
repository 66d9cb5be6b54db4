package session

// PoolState is the load of a number of sessions that are all alike, as a runtime's pools are.
type PoolState struct {
	Name string
	// Sessions there are, Min to Max but for moments; Busy of them are in a turn for the pool, and Failed are parked or stopped.
	Sessions, Busy, Failed int
	Min, Max               int
	// Waiting queries are in the queue, which takes MaxQueue.
	Waiting, MaxQueue int
}

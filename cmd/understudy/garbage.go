package main

import (
	"runtime/debug"
)

// gcPercent is how much garbage the daemon has made, in percent of what is alive, before it is collected. Its heap is small (a few MB,
// and some 12 MB with a thousand sessions), so that with Go's 100 it would be collected a hundred times in a second of messages
// that flow, for a third of the processor time: see docs/performance.md.
const gcPercent = 400

// relax sets it, unless whoever started the daemon has set GOGC. A limit of theirs (GOMEMLIMIT) holds in any case.
func relax(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

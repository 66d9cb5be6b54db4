//go:build race

package process

// raceOn says that the race detector is in this program, and in those that it executes again.
const raceOn = true

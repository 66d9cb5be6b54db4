package process

import "time"

// Usage is what a process and everything that descends from it use.
type Usage struct {
	Processes int           // that are alive, itself included
	RSS       int64         // bytes; memory that they share counts for each
	CPU       time.Duration // user and system time so far, with that of descendants that have ended
}

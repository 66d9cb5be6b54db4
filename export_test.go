package understudy

import "time"

// Parting sets how long somebody is kept waiting for the last of what is taken away, before anything is.
func Parting(rt *Runtime, d time.Duration) { rt.parting = d }

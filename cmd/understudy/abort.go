package main

import "runtime/debug"

// abort has Go end this process by SIGABRT where it would exit with code 2: after a panic that nobody has recovered, a fatal error such
// as lack of memory, and a SIGABRT or SIGQUIT from outside, as a watchdog sends it. That code is a mistake in the configuration, after
// which a service manager does not start the daemon again (RestartPreventExitStatus in docs/understudy.service). Call it when there can
// be no core dump, which would hold the keys.
func abort() { debug.SetTraceback("crash") }

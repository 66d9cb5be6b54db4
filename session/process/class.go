package process

// ExitClass says what kind of end a process, or a start, came to. A restart policy reads it.
type ExitClass string

const (
	// ClassClean is exit code 0. Whether the work was done is not known here: without a result frame it is a crash
	// to the session.
	ClassClean ExitClass = "clean"
	// ClassStopped is an end that Stop or Kill brought about.
	ClassStopped ExitClass = "stopped"
	// ClassRequest is a launch that fails the same way each time: a bad flag or setting, a missing binary or
	// directory, a sandbox that is not there.
	ClassRequest ExitClass = "request"
	// ClassAuth is a missing or refused credential.
	ClassAuth ExitClass = "auth"
	// ClassSessionInUse is --session-id with a conversation that exists: resume it.
	ClassSessionInUse ExitClass = "session_in_use"
	// ClassNoConversation is --resume with a conversation that does not exist: start it under the same id.
	ClassNoConversation ExitClass = "no_conversation"
	// ClassProtocol is input that the CLI could not read. The fault is the runtime's.
	ClassProtocol ExitClass = "protocol"
	// ClassKilled is a signal from outside.
	ClassKilled ExitClass = "killed"
	// ClassMemory is an end that looks like a lack of memory.
	ClassMemory ExitClass = "memory"
	// ClassResources is a start that the system could not afford (processes, descriptors, memory): worth another try.
	ClassResources ExitClass = "resources"
	// ClassCrashed is every other end.
	ClassCrashed ExitClass = "crashed"
)

// Permanent reports whether a restart with the same launch would fail the same way, so that it must not
// burn restarts. A conversation that is in use or missing is not permanent: the next launch is another one.
func (c ExitClass) Permanent() bool { return c == ClassRequest || c == ClassAuth }

// Package audit keeps the evidence: an append-only log of what a runtime and its sessions did, each record
// on disk before its sender goes on.
//
//	trail := audit.New(system, audit.Options{Name: "root/audit", Dir: "data/audit", Runtime: "r1"})
//	pid, err := trail.Start(ctx) // or as a supervisor's child
//	err = trail.Append(ctx, audit.Record{Kind: audit.ToolIntent, Session: "reviewer", Tool: "Bash", Input: input})
//	if err != nil {
//		// not durable: the tool must not run
//	}
//	for record, err := range audit.Read("data/audit") { … }
//
// # Lifetime
//
// [Trail.Start] opens the log and spawns the audit actor. In [Required] mode the actor ends when a write or
// an fsync fails: every Append that waits gets the error, and the next Start opens the file anew. In
// [BestEffort] mode the actor stays, fails what it is given, and tries to open the file again once a
// second. In neither mode is anything tried again on a file that has failed: the kernel may have dropped
// what an fsync could not write, and the next fsync would not say so.
//
// Asked to stop, the actor writes what is queued and log.closed. The handle goes on counting what is lost
// while no actor runs.
//
// # Concurrency
//
// All methods of [Trail], and the functions that read, may be called from any goroutine. The audit actor
// never blocks: a goroutine of its own writes and syncs a batch, and all records that come in the meantime
// are the next one, so that one fsync serves all that wait. At most 1,024 records are on their way: then
// Append waits and Post loses.
//
// # Format
//
// The log is DIR/audit.jsonl, mode 0600 in a directory of mode 0700: one record a line, a JSON object in
// UTF-8, compact, ended by a newline. [Record] says what the fields are; they are in its order, zero
// ones left out. This is the intent of a tool:
//
//	{"v":1,"seq":7,"id":"0192f4a1-7c3e-7d2a-9b1f-3c5d7e9f1a2b","time":"2025-11-05T08:30:00.123456789Z","runtime":"r1","kind":"tool.intent","actor":"root/sessions/reviewer","session":"reviewer","session_id":"6f1c2d3e-4b5a-4c6d-8e7f-901234567890","generation":2,"turn":3,"tool_use_id":"toolu_01","tool":"Bash","input":{"command":"go test ./... 2>&1 | tail"}}
//
// seq is 1 in the first line and one more in each that follows, also over restarts. A record is
// acknowledged when the line and its newline are fsynced. Every opening writes log.opened; a log without
// log.closed before it had no chance to say goodbye.
//
// What a crash leaves behind the last whole record is cut off at the next opening, kept in
// audit.cut-OFFSET-DIGEST beside the log, and reported by log.recovered. The same is done with records
// that were written but could not be acknowledged, if the process is still the one that wrote them. Damage
// further up is left as it is: [Read] reports it. If acknowledged records are gone the numbers go on where
// they were, so that the hole stays visible, and log.recovered names it.
//
// DIR/audit.lock holds the pid of the writer, and flock(2) on it keeps others out.
//
// # Secrets
//
// Options.Redact and [Trail.Redact] name values that must not be in the log. They are replaced by
// [redacted] wherever they are a part of a string or a number, however JSON escapes spell them, also in
// JSON that is a string in other JSON; v, seq, id, time, kind, lost, and the numbers of Record itself are
// left alone. A value that is spread over several strings, or encoded otherwise, is not found.
package audit

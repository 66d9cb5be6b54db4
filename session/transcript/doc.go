// Package transcript reads what the Claude Code CLI keeps of its conversations: which there are in a directory, their
// messages, and those of their subagents. It reads them also while a CLI writes, and can title, tag and delete them.
//
//	store := transcript.Store{}                         // CLAUDE_CONFIG_DIR, or ~/.claude
//	for c, err := range store.List("/srv/app") { … }     // the newest first
//	conversation, err := store.Find(id)
//	for entry, err := range conversation.Entries() { … }
//
// The ID of a conversation is what session.Options.Resume takes, with ForkSession to go on with a copy.
//
// # Format
//
// A conversation is the file projects/KEY/ID.jsonl in the CLI's configuration directory. KEY is the working directory, links
// resolved, with every character but ASCII letters and digits as a dash; see Key. Each line is a JSON object, an entry: messages
// (user, assistant, attachment, system), which name the entry before them in parentUuid, and the CLI's own notes. Subagents
// have files of the same kind in projects/KEY/ID/subagents/agent-AGENT.jsonl.
//
// # Damage
//
// A process that was killed leaves half a line, and the next one writes behind it. A line that is no JSON object, or too
// long, is an Entry with Damaged set; it costs that line alone.
//
// # Concurrency
//
// Everything may be used from any goroutine. One line is held at a time, and for Messages some hundred bytes of each entry before.
package transcript

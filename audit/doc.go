// Package audit keeps the evidence: an append-only log of what a runtime and its sessions did, each record
// on disk before its sender goes on, and the whole of it provably unchanged.
//
//	trail := audit.New(system, audit.Options{Name: "root/audit", Dir: "data/audit", Runtime: "r1"})
//	pid, err := trail.Start(ctx) // or as a supervisor's child
//	err = trail.Append(ctx, audit.Record{Kind: audit.ToolIntent, Session: "reviewer", Tool: "Bash", Input: input})
//	if err != nil {
//		// not durable: the tool must not run
//	}
//	for record, err := range audit.Read("data/audit") { … }
//	report, err := audit.Verify(ctx, "data/audit", audit.VerifyOptions{})
//
// # Lifetime
//
// [Trail.Start] opens the log and spawns the audit actor. When a write or an fsync fails every Append that
// waits gets the error. The actor stays, and tries to open the log again: a tenth of a second later if it had
// worked for a second, then once a second, or less often if an opening takes longer than a quarter of that. So it is open soon
// after the disk has room, or the directory is back, however long that took. A panic ends the actor, and so
// does whoever kills it: then its supervisor decides. Until the log is open, [Required] mode has each Append wait as
// long as its context lets it, and [BestEffort] fails it. Nothing is tried again on a file that has failed: the
// kernel may have dropped what an fsync could not write, and the next fsync would not say so. The log
// goes on in a new segment.
//
// Asked to stop, the actor writes what is queued and log.closed, and signs a last checkpoint. The handle
// goes on counting what is lost while no actor runs.
//
// When the disk is full the space of a reserved file is given up, and log.full and the ends of sessions and
// turns are written into it; everything else fails with [ErrFull] until there is room.
//
// # Concurrency
//
// All methods of [Trail], and the functions that read, may be called from any goroutine. The audit actor
// never blocks: a goroutine of its own writes and syncs a batch, and all records that come in the meantime
// are the next one, so that one fsync serves all that wait. At most 1,024 records are on their way: then
// Append waits and Post loses. Each sink and each anchor has a goroutine of its own, which ends with the
// actor.
//
// # Format
//
// A log is a directory of mode 0700, with files of mode 0600:
//
//	audit.N.log          a segment, N being the number of its first record in 20 digits
//	audit.N.checkpoints  the checkpoints signed while that segment was written
//	audit.pub            the public key of the checkpoints, NAME+HASH+KEY
//	audit.key            the private key, unless Options.Signer has it
//	audit.salt           the key of the digests in redaction marks
//	audit.hashes         the tree's hashes; can be made anew from the segments
//	audit.reserve        space that is given up when the disk is full
//	audit.lock           the pid of the writer; flock(2) on it keeps others out
//	audit.sink-NAME      how far a sink got
//	audit.cut-…          what was cut off a torn end
//	audit.new            a file that is being made
//
// A segment is a sequence of frames:
//
//	length    4 bytes, little-endian: of the payload
//	checksum  4 bytes, little-endian: CRC-32C of the four bytes of length and of the payload
//	payload   UTF-8 without a newline
//	newline   1 byte
//
// The payload of the first frame is the segment's header, a JSON object: format ("understudy audit
// segment 1"), first (the number of the first record here), began (time), previous (first and end of the
// segment before, end being its size in bytes, and abandoned if a write to it failed: what follows end is
// no part of the log), tree (the roots of the complete subtrees of all records before, base64, the largest
// first), lost and sessions, which carry those counts on, and open (the intents
// that had no end by then: their numbers, by FNV-1a in 64 bits of the session's name and the JSON of tool_use_id). Each further payload is a record, a JSON
// object, compact, in the order of [Record]'s fields, zero ones left out. This is the intent of a tool:
//
//	{"v":1,"seq":2,"kind":"tool.intent","session":"reviewer","session_seq":1,"id":"0192f4a1-7c3e-7d2a-9b1f-3c5d7e9f1a2b","time":"2025-11-05T08:30:00.123456789Z","mono_ns":52000000,"runtime":"r1","actor":"root/sessions/reviewer","session_id":"6f1c2d3e-4b5a-4c6d-8e7f-901234567890","generation":2,"turn":3,"tool_use_id":"toolu_01","tool":"Bash","input":{"command":"go test ./... 2>&1 | tail"}}
//
// Its frame begins with the bytes 83 01 00 00 87 90 e7 75. seq is 1 in the first record and one more in
// each that follows, also over restarts. A record is acknowledged when its frame is fsynced.
//
// The records are the leaves of one Merkle tree as of RFC 6962, over all segments: the hash of a leaf is
// SHA-256 of a zero byte and the payload. That of the record above is, in base64,
// D83EylX8i/VHAZLk0hIGDhqlRByzle2HGQ/EH3DVPwc=.
//
// A checkpoint is a signed note (golang.org/x/mod/sumdb/note, Ed25519) whose text is that of a C2SP
// tlog-checkpoint: the key's name as the origin, the number of records, and the tree's hash in base64, a
// line each. One is signed every second in which there were records, after 1,000 records, at each opening
// and closing, and at the end of each segment. Notes follow each other in the file. For a log of only the
// record above, were that possible, the text is
//
//	understudy-audit/example
//	1
//	D83EylX8i/VHAZLk0hIGDhqlRByzle2HGQ/EH3DVPwc=
//
// audit.hashes has the hashes of the tree at the places that tlog.StoredHashIndex says, 32 bytes each.
//
// # Crashes
//
// What a crash leaves behind the last whole record is cut off at the next opening, kept in a side file,
// and reported by log.recovered. What no checkpoint covers is written and synced once more then, since the
// process may have ended after an fsync that failed. The tool uses that ran then have an intent and no end: the first
// opening by another [Trail] writes a tool.orphan for each. A log that is not what its last checkpoint says is
// not opened: [ChangedError].
//
// # Proof
//
// [Verify] finds any record that was changed, removed, inserted or moved, if a checkpoint covers it, and
// says which. Checkpoints do not help against somebody who has the private key and writes the log anew, or
// who puts an old copy of the whole directory in its place. For that, have somebody else keep checkpoints:
// Options.Anchors, and VerifyOptions.Anchor. [Prove] and [Consistency] make proofs that [CheckProof] checks
// without the log.
//
// # Secrets
//
// Options.Redact and [Trail.Redact] name values that must not be in the log. They are replaced wherever
// they are a part of a string or a number, however JSON escapes spell them, also in JSON that is a string in
// other JSON; v, seq, id, time, kind, lost, and the numbers of Record itself are left alone. So is what
// looks like a secret (keys and tokens of well-known forms, private keys, passwords in URLs, authorization
// headers, and what a variable or a flag such as --password is given in a command) and all that stands under a name such as password. The mark in its place, as in
// [redacted value 1f0c5a7e9b2d], has the rule and a digest under a key of this log: equal secrets have equal
// marks. This happens before hashing: the log never holds the secret. A value that is spread over several
// strings, or encoded otherwise, is not found.
package audit

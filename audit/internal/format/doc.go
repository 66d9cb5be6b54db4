// Package format is the audit log as bytes: frames, the Merkle tree over them, checkpoints, proofs, and the
// check that they belong together. It knows no file, no goroutine and no clock; the same bytes always give
// the same answer. The specification is the package comment of audit.
package format

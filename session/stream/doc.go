// Package stream has helpers for the messages of a turn: the text as it is written, the tools that were used, the
// result decoded into a Go type. They take what Session.Query returns and give another sequence, or a value.
//
//	for text, err := range stream.TextDeltas(reviewer.Query(ctx, "Review the last commit.")) {
//		if err != nil { … }
//		fmt.Print(text)
//	}
//
//	verdict, err := stream.Structured[Verdict](reviewer.Query(ctx, "Is it safe to merge?"))
//
// # Errors
//
// No helper loses an error. In a sequence it is the last element, beside the zero value; a function that returns a value
// returns what there is of it with the error. Nothing follows an error.
//
// # Whose messages
//
// A turn has the messages of the main conversation and of the subagents that work for it. The helpers that take text,
// thinking and tools apart take the main conversation alone, unless an Option says otherwise: see Everyone and Subagent.
//
// # What is taken back
//
// A model that would not answer may have begun to; another one answers then, and the CLI retracts the beginning. Blocks,
// Text, Thinking, ToolUses, TextDeltas, ThinkingDeltas, Events and Assemble give at once what comes, so they have given it by
// then: protocol.Retracted says what to remove from a screen. Whatever waits leaves it out: Collect, FinalText, FinalResult and
// Structured, and ToolCalls leaves out tools that had no result yet.
//
// # Lifetime
//
// Nothing is read before the loop begins, and nothing ahead of it. To leave the loop is to leave the query's own, which
// interrupts the turn. No goroutine is started.
//
// # Concurrency
//
// A sequence has one user at a time. Sequences have nothing in common.
package stream

// Package sessiontest has the two things that tests of Claude Code sessions need and cannot have: a simulated Claude Code CLI,
// and a stand-in of the Messages API for the real one. Neither needs a key, a network or a model. What they do is written into
// the prompts.
//
// A package starts its own test binary as the simulated CLI:
//
//	func TestMain(m *testing.M) { sessiontest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		path, args, env := sessiontest.CLI(t)
//		// start path with args and the CLI's own arguments, and env added to its environment
//	}
//
// With the real CLI it starts the stand-in, and adds its environment:
//
//	api := sessiontest.NewAPI(t)
//	env := api.Env()
//
// The simulation was compared with Claude Code 2.1.330: testdata/recorded has what was played to the real one, and the
// sequence and shape of its frames; a test plays the same to the simulation.
//
// # Format
//
// A prompt is plain text with directives in double brackets. Both the simulation and the stand-in's model read the newest
// plain prompt: text that the CLI itself adds is skipped, apart from the notice that a background task ended. Directives are
// obeyed in order; those in front of a tool come before the model asks for it, those after the last tool before the final text.
//
//	[[say:text]]               the final text; without it "echo: " and the prompt
//	[[history]]                the final text is "history: " and the earlier prompts, with " | " between them
//	[[hugeline:bytes]]         the final text has this many bytes
//	[[slow:2s]]                the final text comes in ten pieces over this time
//	[[tool:Name {json}]]       the model uses a tool
//	[[ask:Name {json}]]        the same; the simulation asks the host even where a rule would decide
//	[[tools:{"use":[{"name":"Read","input":{}}]}]]   several tools in one answer
//	[[tool:Task {"description":"d","prompt":"[[say:x]]","run_in_background":false}]]   a subagent, whose prompt may have
//	                           directives of its own; see [Delegate] and [Delegates], which write it
//	[[loop]] [[loop:3]]        Bash "echo loop", for ever or this many times
//	[[sleep:1s]] [[sleep:1]]   the model thinks this long; seconds without a unit
//	[[status:529]]             the model call fails with this status, every time it is tried; [[error:529]] is the same
//	[[status:529 2]]           it fails twice, then it works
//	[[refuse:opus cyber]]      models with opus in their name will not answer, for a reason of that category
//	[[suggest:run the tests]]  what the user may say next, for a session with prompt_suggestions, from the second answer on
//	[[selfturn:1s text]]       after this time a turn starts by itself, with the text as its prompt
//	[[selfturn:1s {"prompt":"[[say:x]]"}]]           the same with directives in it
//
// What follows is about the CLI itself and means nothing to the stand-in:
//
//	[[crash]]                  the process dies of SIGKILL, at this place
//	[[crash:early]]            … before anything of the prompt was written to the transcript
//	[[crash:answer]]           … after the final text, before the result
//	[[crash:result]]           … after the result
//	[[exit:3]]                 the process exits with this code
//	[[hang]] [[hang:hard]]     it reads, writes and answers nothing any more; hard: it ignores SIGTERM, too
//	[[linger]]                 the end of stdin does not end the process
//	[[flush:2s]]               behind the end of stdin it takes this long to save what it has; of a named pipe in place of a
//	                           duration, it opens that for reading and comes to its end
//	[[nofinish]]               the turn gives its text, but never ends by itself
//	[[garbage]] [[garbage:text]]   a line on stdout that is no JSON
//	[[torn]]                   half a frame on stdout, then exit code 0
//	[[unknown]]                a frame of a type that no CLI has
//	[[stderr:text]]            a line on stderr
//	[[frame:{json}]]           this frame on stdout, in front of the answer
//	[[after:{json}]]           this frame on stdout, when the turn is over and the session idle
//
// A crash in the middle of a tool is a tool that kills it: [[tool:Bash {"command":"kill -9 $CLAUDE_PID; read -t 5 < /dev/zero"}]].
// The Bash tool of the real CLI may refuse some commands (`tail -f`, a bare `sleep`); a wait that passes is
// `read -t 0.3 < /dev/zero; true`.
//
// A simulated process also reads, besides what the CLI reads (CLAUDE_CONFIG_DIR or HOME, ANTHROPIC_API_KEY, IS_SANDBOX,
// CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS, CLAUDE_CODE_MAX_RETRIES, CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST):
//
//	UNDERSTUDY_SIMULATE=1             makes a test binary with Main the simulated CLI
//	UNDERSTUDY_SIM_STARTUP=how        silent, garbage, slow:2s or exit:3, before anything else happens
//	UNDERSTUDY_SIM_CRASH_EVERY=20s    it dies of SIGKILL about this often
//	UNDERSTUDY_SIM_WORK_EVERY=5s      it starts a turn by itself about this often, with tools that only read
//	UNDERSTUDY_SIM_KEY=key            model calls fail with 401 unless ANTHROPIC_API_KEY is this
//	UNDERSTUDY_SIM_RETRY=1ms          the first delay between retries of a model call, instead of 500ms; it doubles
//
// # What is simulated
//
// Arguments with the CLI's errors; initialize, hooks before and after tools, questions about permissions; rules and modes as
// far as [Simulate] needs them (rules by prefix, pattern and path; a list of commands that only read, and one of those that
// acceptEdits covers); turns with their prompts merged, folded and dropped as the CLI does; interrupts, models, modes; limits
// of turns and money; partial messages; background tasks; transcripts, resuming, forking; the ends by end of input and by
// signal; models that will not answer, and those that answer in their place. The tools Bash, Read and Write really run, and so do
// those of MCP servers in the host and on the network, whose questions to the user are passed on. MCP servers that are processes,
// slash commands, compaction and the sandbox are not there: their tools answer an error, their requests are refused as unsupported.
//
// Subagents work, several at the same time, each in a conversation and a file of its own: in the foreground, where the turn
// waits, and in the background, where the end makes a turn of its own; up to CLAUDE_CODE_MAX_CONCURRENT_SUBAGENTS at once and
// three levels deep; with their hooks, questions, tasks and costs. An interrupt ends them, stop_task one of them; the end of the
// budget ends those in the background alone. The kinds that initialize defines have their model, tools and background; what else
// a kind may have is not looked at. A hook at their end cannot make them go on, and SendMessage cannot wake one that has ended.
//
// # Lifetime
//
// An API lives until it is closed, or its test ends. A simulation in a process of its own lives as the CLI does; in
// [Simulate] it returns at the end of its input, and leaves nothing behind but, after a crash, its tools. A reader of stdin that
// is blocked ends with its next line.
//
// # Concurrency
//
// An API can be used by any number of goroutines and CLIs. Simulations have no state in common but the transcripts on disk,
// which, as with the real CLI, two processes on one session do not share safely.
package sessiontest

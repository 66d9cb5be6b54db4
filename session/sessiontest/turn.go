package sessiontest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// turn is what the session works on.
type turn struct {
	ids         []string // of the prompts that it answers
	folded      int      // how many of them joined while it ran
	task        *task    // what a turn that started by itself is about; nil for a turn of prompts
	agent       *agent   // whose work it is; nil for the main conversation
	over        bool     // its result is out
	text        string   // the prompt
	earlier     []string // the prompts of the conversation before it
	promptID    string
	interrupted bool
	toolsCut    bool   // the interrupt hit a tool
	shell       *shell // the command that runs
	results     int    // tools that answered
	calls       int    // model calls
	counted     int    // those that are in its usage
	marked      bool   // a frame with the prompt's ids was sent
	denials     []frame
	noted       bool   // a model that would not answer was told so
	supersedes  string // the frame that the next answer takes the place of
	extra       int    // in num_turns, besides tools
	started     time.Time
	apiTime     time.Duration
}

// next starts the turn that is due: for one ended task, or for all prompts in front of the queue.
func (s *simulation) next() {
	if !s.running {
		s.state("running")
	}
	t := &turn{promptID: newUUID(), started: time.Now(), earlier: slices.Clone(s.transcript.prompts)}
	var taken []prompt
	if first := s.queue[0]; first.task != nil {
		t.task, t.text = first.task, first.task.notice()
		s.queue = s.queue[1:]
	} else {
		for len(s.queue) > 0 && s.queue[0].task == nil {
			taken = append(taken, s.queue[0].prompt)
			s.queue = s.queue[1:]
		}
		var texts []string
		for _, p := range taken {
			s.lifecycle(p.id, "started")
			texts = append(texts, p.text)
			if p.id != "" {
				t.ids = append(t.ids, p.id)
			}
		}
		t.text = strings.Join(texts, "\n")
	}
	s.turn = t
	s.say(s.initFrame())
	if script(t.text, 0, true).crash == "early" {
		s.crash()
	}
	for _, p := range taken {
		s.record(s.transcript.prompt(p.id, p.text, s.dir))
	}
	s.converse()
	s.turn = nil
}

// record reports a transcript that cannot be written; the CLI goes on, and so does the simulation.
func (s *simulation) record(err error) {
	if err != nil {
		_, _ = fmt.Fprintln(s.stderr, "Error: write transcript:", err)
	}
}

// converse calls the model until it has nothing left to do.
func (s *simulation) converse() {
	t := s.turn
	if s.overBudget() { // by earlier turns: no call is made
		s.finish(s.budgetResult(nil))
		return
	}
	for {
		s.wake() // what was started in the background goes on while the model thinks
		c := script(t.text, t.results, true)
		if !s.perform(c) || !s.retry(&c) {
			s.finish(s.interruptedResult())
			return
		}
		if c.status != 0 {
			s.apiError(c.status)
			return
		}
		if !s.refused(c) {
			return
		}
		blocks, going := s.answer(c)
		if !going {
			s.finish(s.interruptedResult())
			return
		}
		if s.overBudget() {
			s.finish(s.budgetResult(stopReason(blocks)))
			return
		}
		t.counted++
		if len(c.tools) == 0 {
			s.conclude(c, blocks)
			return
		}
		if !s.useTools(c, blocks) {
			t.toolsCut = true
			s.finish(s.interruptedResult())
			return
		}
		if s.overBudget() { // by subagents, which may go on
			s.finish(s.budgetResult(stopReason(blocks)))
			return
		}
		if s.inv.maxTurns > 0 && t.calls >= s.inv.maxTurns {
			s.finish(s.maxTurnsResult())
			return
		}
		s.fold()
	}
}

func (s *simulation) overBudget() bool { return s.inv.maxBudget > 0 && s.spent >= s.inv.maxBudget }

// conclude ends a turn that went well, as far as its directives let it.
func (s *simulation) conclude(c call, blocks []wireBlock) {
	if c.crash == "answer" {
		s.crash()
	}
	if c.nofinish {
		s.await(func() bool { return false }) // until an interrupt
		s.finish(s.interruptedResult())
		return
	}
	s.finish(s.successResult(blocks[len(blocks)-1].Text))
	if s.suggesting && c.suggests != "" && (len(s.turn.earlier) > 0 || s.turn.calls > 1) { // it says nothing so early
		s.say(frame{"type": "prompt_suggestion", "suggestion": c.suggests})
	}
	if c.after != nil {
		s.after(afterIdle, func() {
			for _, d := range c.after {
				s.sayRaw(d.arg)
			}
		})
	}
	if c.crash == "result" {
		s.crash()
	}
}

// perform does what directives want before an answer. It reports false when the turn was interrupted.
func (s *simulation) perform(c call) bool {
	for _, d := range c.before {
		switch d.name {
		case "sleep":
			if wait, ok := parseDuration(d.arg); ok && !s.wait(wait) {
				return false
			}
		case "crash":
			s.crash()
		case "exit":
			code, _ := strconv.Atoi(d.arg)
			s.exit(code)
		case "hang":
			s.hang(d.arg == "hard")
		case "garbage":
			s.out.put([]byte(cmp.Or(d.arg, "this is no JSON {") + "\n"))
		case "torn":
			s.out.put([]byte(`{"type":"assistant","message":{"role":"assis`))
			s.exit(0)
		case "unknown":
			s.say(frame{"type": "never_seen_before", "subtype": d.arg, "detail": frame{"nested": []any{nil}}})
		case "frame":
			s.sayRaw(d.arg)
		case "linger":
			s.linger = s.signals != nil // inside another process nothing else could end it
		case "flush":
			s.flush = d.arg
		case "stderr":
			_, _ = fmt.Fprintln(s.stderr, d.arg)
		case "selfturn":
			s.selfTurn(d)
		}
	}
	return true
}

// hang is a process that is there and does nothing: it reads no line, answers no question, writes nothing. A hard one ignores
// SIGTERM as well.
func (s *simulation) hang(hard bool) {
	s.out.flush(time.Second)
	lines := s.lines
	if s.signals != nil {
		lines = nil // inside another process nothing but the end of stdin could end it
	}
	for {
		select {
		case sig := <-s.signals:
			if !hard {
				s.signalled(sig)
			}
		case <-s.events: // what ends meanwhile is not looked at
		case _, open := <-lines:
			if !open {
				s.exit(1)
			}
		}
	}
}

// Retry delays double from this, as the CLI's do.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 32 * time.Second
)

// retry waits through the failures of a model call, announcing each. When it returns true, c.status is 0 if the call went
// through in the end. It returns false when the turn was interrupted.
func (s *simulation) retry(c *call) bool {
	if key := s.env("UNDERSTUDY_SIM_KEY"); key != "" && key != s.env("ANTHROPIC_API_KEY") {
		c.status, c.failures = 401, 0
	}
	if c.status == 0 || c.status == 400 || c.status == 403 || c.status == 404 || c.status == 413 {
		return true
	}
	limit := 10
	if n, err := strconv.Atoi(s.env("CLAUDE_CODE_MAX_RETRIES")); err == nil {
		limit = n
	}
	delay := firstRetry
	if d, ok := parseDuration(s.env("UNDERSTUDY_SIM_RETRY")); ok {
		delay = d
	}
	for attempt := 1; attempt <= limit; attempt++ {
		s.system("api_retry", frame{
			"attempt": attempt, "max_retries": limit, "retry_delay_ms": delay.Milliseconds(), "error_status": c.status,
			"error": retryName(c.status),
		})
		if !s.wait(delay) {
			return false
		}
		if c.failures > 0 && attempt >= c.failures {
			c.status = 0
			return true
		}
		delay = min(2*delay, lastRetry)
	}
	return true
}

// answer emits what the model said, a frame a block. It reports false when the turn was interrupted.
func (s *simulation) answer(c call) ([]wireBlock, bool) {
	t := s.turn
	id := newMessageID()
	var blocks []wireBlock
	for _, use := range c.tools {
		blocks = append(blocks, wireBlock{Type: "tool_use", ID: newToolUseID(), Name: use.name, Input: use.input})
	}
	if len(c.tools) == 0 {
		blocks = textBlocks(c.answer(t.text, t.earlier), c.slow > 0)
	}
	began := time.Now()
	s.partialStart(id)
	for i, block := range blocks {
		if c.slow > 0 && !s.wait(c.slow/time.Duration(len(blocks))) {
			return nil, false
		}
		if !t.agent.saysLater(block) {
			s.emitBlock(id, i, block)
		}
	}
	s.partialEnd(id, blocks)
	t.apiTime += time.Since(began)
	s.charge()
	s.recordMessage("assistant", frame{"id": id, "role": "assistant", "model": s.speaker(), "content": blocks})
	return blocks, true
}

// charge accounts for a model call.
func (s *simulation) charge() {
	model := s.speaker()
	s.turn.calls++
	s.spent += callPrice(model)
	s.calls[model]++
	s.sinceResult[model]++
	if s.overBudget() {
		s.stopForBudget()
	}
	for _, id := range s.turn.ids {
		s.answered[id] = true
	}
}

// useTools runs the tools of an answer, one after another; subagents all at once, beside the others. It reports false when the
// turn was interrupted. The main conversation does not wait for subagents that have spent the budget.
func (s *simulation) useTools(c call, blocks []wireBlock) bool {
	t := s.turn
	var beside []*strand
	for i, block := range blocks {
		use := &toolUse{id: block.ID, name: block.Name, input: block.Input, ask: c.tools[i].ask, message: newMessageID()}
		if startsAgent(use.name) {
			beside = append(beside, s.fork(t, func() { s.finishTool(use) }))
			continue
		}
		s.finishTool(use)
		if t.interrupted {
			break
		}
	}
	done := func() bool { return !slices.ContainsFunc(beside, func(st *strand) bool { return !st.ended }) }
	if !s.await(func() bool { return done() || t.agent == nil && s.overBudget() }) {
		s.cutAgents(t)
		for !done() && s.wake() {
		}
		return false
	}
	return true
}

// finishTool takes a tool use to its result.
func (s *simulation) finishTool(use *toolUse) {
	out := s.useTool(use)
	if out.denied {
		root := s.turn.root()
		root.denials = append(root.denials, frame{"tool_name": use.name, "tool_use_id": use.id, "tool_input": use.input})
	}
	s.emitResult(use, out)
	s.turn.results++
	if out.then != nil {
		out.then()
	}
}

func (s *simulation) emitResult(use *toolUse, out toolOutcome) {
	result := frame{"type": "tool_result", "content": out.content, "tool_use_id": use.id}
	if out.isError || use.name == "Bash" {
		result["is_error"] = out.isError
	}
	if out.inBlock {
		result["content"] = []any{frame{"type": "text", "text": out.content}}
	}
	f := frame{
		"type": "user", "message": frame{"role": "user", "content": []any{result}}, "parent_tool_use_id": nil,
		"timestamp": timestamp(), "tool_use_result": out.structured,
	}
	if out.meta != nil {
		meta := maps.Clone(out.meta)
		meta["id"] = use.id
		f["tool_result_meta"] = []any{meta}
	}
	if s.turn.agent != nil { // of whom less is told
		if !out.isError {
			delete(f, "tool_use_result")
		}
		if out.cut {
			delete(f, "tool_result_meta")
		}
	}
	s.tell(f)
	s.recordMessage("user", f["message"])
}

// fold lets what came in meanwhile join the running turn: there is another model call to come that it can be part of.
func (s *simulation) fold() {
	t := s.turn
	for _, w := range s.queue {
		if w.task != nil {
			continue // the model sees the notice, and no turn is needed for it
		}
		s.lifecycle(w.prompt.id, "started")
		if w.prompt.id != "" {
			t.ids = append(t.ids, w.prompt.id)
			t.folded++
		}
		s.record(s.transcript.prompt(w.prompt.id, w.prompt.text, s.dir))
	}
	s.queue = nil
}

// apiError ends a turn whose model call failed for good.
func (s *simulation) apiError(status int) {
	text := fmt.Sprintf("API Error: %d scripted.", status)
	if status == 401 {
		text = "Invalid API key · Fix external API key"
	}
	f := syntheticFrame(text, "stop_sequence", nil)
	f["error"], f["api_error_status"], f["api_error_type"] = errorName(status), status, errorType(status)
	s.mark(f)
	s.say(f)
	s.finish(s.apiErrorResult(status, text))
}

// syntheticFrame is an answer that the CLI wrote itself, about a failure.
func syntheticFrame(text, stop string, details any) frame {
	return frame{
		"type": "assistant", "message": frame{
			"diagnostics": nil, "id": newUUID(), "container": nil, "model": "<synthetic>", "role": "assistant", "stop_details": details,
			"stop_reason": stop, "stop_sequence": "", "type": "message", "usage": turnUsage(0),
			"content": []any{frame{"type": "text", "text": text}}, "context_management": nil,
		},
		"parent_tool_use_id": nil, "timestamp": timestamp(), "is_api_error_message": true,
	}
}

// finish emits the end of a turn.
func (s *simulation) finish(result frame) {
	t := s.turn
	t.over = true
	if t.interrupted {
		note := interrupted + "]"
		if t.toolsCut {
			note = interrupted + " for tool use]"
		}
		s.say(frame{
			"type": "user", "message": frame{"role": "user", "content": []any{frame{"type": "text", "text": note}}},
			"parent_tool_use_id": nil, "timestamp": timestamp(),
		})
	}
	own, joined := t.ids[:len(t.ids)-t.folded], t.ids[len(t.ids)-t.folded:]
	state := "completed"
	if result["is_error"] == true {
		state = "cancelled"
	}
	for _, id := range joined {
		s.lifecycle(id, state)
	}
	s.lastError = result["is_error"] == true
	s.say(result)
	s.results++
	s.sinceResult = map[string]int{}
	for _, id := range own {
		s.lifecycle(id, state)
	}
}

// afterIdle is later than the word that the session is idle, which follows a result at once.
const afterIdle = 50 * time.Millisecond

// sayRaw says a frame that a directive spells out: what a CLI of another version, or a hostile one, would say.
func (s *simulation) sayRaw(text string) {
	var f frame
	if err := json.Unmarshal([]byte(text), &f); err != nil || f == nil {
		s.fail("Error: directive frame: %q is no JSON object", text)
	}
	s.say(f)
}

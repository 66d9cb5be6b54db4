package sessiontest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// input is a line from the host.
type input struct {
	Type      string          `json:"type"`
	UUID      string          `json:"uuid"`
	Message   json.RawMessage `json:"message"`
	RequestID string          `json:"request_id"`
	Request   json.RawMessage `json:"request"`
	Response  json.RawMessage `json:"response"`
}

// burst is how long the CLI reads on before a prompt starts a turn. An interrupt that comes within it does not stop that turn.
const burst = 2 * time.Millisecond

// receive handles a line. The CLI dies of one that it cannot read, and ignores what it does not know.
func (s *simulation) receive(line []byte) {
	line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")))
	if len(line) == 0 {
		return
	}
	if !json.Valid(line) {
		s.fail("Error parsing streaming input line (type=unknown, %d chars): SyntaxError", len(line))
	}
	var in input
	if json.Unmarshal(line, &in) != nil {
		return // JSON, but no object of ours
	}
	switch in.Type {
	case "user":
		s.receivePrompt(in)
	case "control_request":
		if in.Request == nil {
			s.fail("Error: Missing request on control_request")
		}
		s.control(in.RequestID, in.Request)
	case "control_response":
		s.receiveAnswer(in.Response)
	}
}

func (s *simulation) receivePrompt(in input) {
	var message wireMessage
	_ = json.Unmarshal(in.Message, &message) // no role then
	if message.Role != "user" {
		role := message.Role
		if role == "" {
			role = "undefined"
		}
		s.fail("Error: Expected message role 'user', got '%s'", role)
	}
	if s.duplicate(in.UUID) {
		return
	}
	idle := !s.running && s.turn == nil
	if idle {
		s.state("running")
	}
	s.lifecycle(in.UUID, "queued")
	s.queue = append(s.queue, work{prompt: prompt{id: in.UUID, text: textOf(message.Content)}})
	if idle {
		s.readOn()
	}
}

// readOn takes an interrupt that was written in one go with a prompt, before the prompt starts a turn.
func (s *simulation) readOn() {
	if s.eof || s.pushed != nil {
		return
	}
	timer := time.NewTimer(burst)
	defer timer.Stop()
	select {
	case line, open := <-s.lines:
		if !open {
			s.endOfInput()
			return
		}
		if isInterrupt(line) {
			s.receive(line)
		} else {
			s.pushed = line
		}
	case <-timer.C:
	}
}

func isInterrupt(line []byte) bool {
	var in struct {
		Request controlRequest `json:"request"`
	}
	return json.Unmarshal(line, &in) == nil && in.Request.Subtype == "interrupt"
}

// duplicate drops a prompt that was sent before: one that was answered, and one that still waits or runs.
func (s *simulation) duplicate(id string) bool {
	if id == "" {
		return false
	}
	for _, w := range s.queue {
		if w.prompt.id == id {
			return true
		}
	}
	if s.turn != nil && slices.Contains(s.turn.ids, id) {
		return true
	}
	here, known := s.answered[id]
	if !known {
		return false
	}
	if !here {
		s.lifecycle(id, "completed")
	}
	if s.turn == nil {
		s.state("idle")
	}
	return true
}

// request is a question to the host.
type request struct {
	id       string
	answered bool
	closed   bool // stdin ended first
	expired  bool // its time ran out first
	failure  string
	response json.RawMessage
	then     func() // called when it is settled; nil for none
	turn     *turn  // whose question it is; nil for that of no turn
}

func (r *request) settled() bool { return r.answered || r.closed || r.expired }

// ask sends a question to the host.
func (s *simulation) ask(body frame) *request {
	r := &request{id: newUUID(), closed: s.eof, turn: s.turn}
	s.emit(frame{"type": "control_request", "request_id": r.id, "request": body})
	if !s.eof {
		s.requests[r.id] = r
	}
	return r
}

// cancel takes a question back.
func (s *simulation) cancel(r *request) {
	delete(s.requests, r.id)
	s.emit(frame{"type": "control_cancel_request", "request_id": r.id})
}

// receiveAnswer takes an answer; late, duplicate and unknown ones are ignored.
func (s *simulation) receiveAnswer(raw json.RawMessage) {
	var answer struct {
		Subtype   string          `json:"subtype"`
		RequestID string          `json:"request_id"`
		Response  json.RawMessage `json:"response"`
		Error     string          `json:"error"`
	}
	if json.Unmarshal(raw, &answer) != nil {
		return
	}
	r := s.requests[answer.RequestID]
	if r == nil {
		return
	}
	delete(s.requests, r.id)
	r.answered, r.response = true, answer.Response
	if answer.Subtype != "success" {
		r.failure = answer.Error
		if r.failure == "" {
			r.failure = fmt.Sprintf("control response of subtype %q", answer.Subtype)
		}
	}
	if r.then != nil {
		r.then()
	}
}

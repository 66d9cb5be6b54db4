package session

import (
	"slices"

	"github.com/understudy-run/understudy/session/protocol"
)

// turns follows which turn the CLI is in, and whose it is. It is a pure function of the frames.
//
// The CLI opens a turn with system/init, which names the prompts it answers by their uuids, and closes it
// with a result, which names them again. A turn that it starts by itself (a background task that ended)
// names none. A prompt that arrives while a turn still has a tool round to come is folded into that turn:
// command_lifecycle says so between init and result. One that was answered before is dropped: its
// lifecycle ends without any result.
type turns struct {
	open   bool
	owners []string // the prompts of the open turn
}

// verdict is what a frame means for the prompt that is waited for.
type verdict int

const (
	notMine   verdict = iota
	mine              // part of its turn
	myResult          // the last of its turn
	cancelled         // it was taken out of the CLI's queue and will not run
	dropped           // it will not run, and nothing else will be said about it
)

// see takes the next frame and says what it is to the prompt of that uuid, which may be empty.
func (t *turns) see(m protocol.Message, prompt string) verdict {
	switch m := m.(type) {
	case *protocol.Init:
		t.open, t.owners = true, m.UserMessageUUIDs
	case *protocol.CommandLifecycle:
		return t.lifecycle(m, prompt)
	case *protocol.Result:
		owners := m.UserMessageUUIDs
		if len(owners) == 0 && m.UserMessageUUID != "" {
			owners = []string{m.UserMessageUUID}
		}
		owned := prompt != "" && (slices.Contains(owners, prompt) || slices.Contains(t.owners, prompt))
		t.open, t.owners = false, nil
		if owned {
			return myResult
		}
		return notMine
	default: // inside of a turn it belongs to the turn
	}
	if t.owns(prompt) {
		return mine
	}
	return notMine
}

func (t *turns) owns(prompt string) bool {
	return t.open && prompt != "" && slices.Contains(t.owners, prompt)
}

func (t *turns) lifecycle(m *protocol.CommandLifecycle, prompt string) verdict {
	if prompt == "" || m.CommandUUID != prompt {
		if t.owns(prompt) {
			return mine
		}
		return notMine
	}
	switch m.State {
	case "started":
		if t.open && !slices.Contains(t.owners, prompt) {
			t.owners = append(slices.Clone(t.owners), prompt)
		}
	case "completed", "discarded", "refused":
		if !t.owns(prompt) { // otherwise its result is still to come
			return dropped
		}
	case "cancelled":
		if !t.owns(prompt) {
			return cancelled
		}
	}
	if t.owns(prompt) {
		return mine
	}
	return notMine
}

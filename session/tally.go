package session

import (
	"strings"

	"github.com/understudy-run/understudy/session/protocol"
)

// tally is what the frames of a running turn say about its model calls, by message id. Without a result it is all that is
// known about what the turn has cost.
type tally struct {
	calls map[string]*call
	last  string // the message that the last frame was of
	call  *call  // and what is known of it
}

type call struct {
	model string
	cost  Cost // without USD
	chars int  // of text and tool input seen
}

// bytesPerToken is for output of which no count was seen: the usage in a frame is that of the beginning of its message.
const bytesPerToken = 4

// maxTally bounds what a turn without an end may fill.
const maxTally = 10_000

// see takes an assistant's frame. Several frames share one message and repeat its usage.
func (t *tally) see(m *protocol.Assistant) {
	id := m.Message.ID
	if id == "" || m.Message.Model == protocol.SyntheticModel { // which the CLI wrote itself
		return
	}
	c := t.call
	if c == nil || id != t.last {
		if c = t.calls[id]; c == nil {
			if len(t.calls) >= maxTally {
				return
			}
			if t.calls == nil {
				t.calls = make(map[string]*call)
			}
			c = new(call)
			id = strings.Clone(id) // it is a part of the frame
			t.calls[id] = c
		}
		t.last, t.call = id, c
	}
	if c.model != m.Message.Model {
		c.model = strings.Clone(m.Message.Model)
	}
	for _, block := range m.Message.Content {
		c.chars += len(block.Raw())
	}
	u := &m.Message.Usage
	c.cost.InputTokens = max(c.cost.InputTokens, u.InputTokens)
	c.cost.OutputTokens = max(c.cost.OutputTokens, u.OutputTokens)
	c.cost.CacheReadTokens = max(c.cost.CacheReadTokens, u.CacheReadInputTokens)
	c.cost.CacheWriteTokens = max(c.cost.CacheWriteTokens, u.CacheCreationInputTokens)
	c.cost.OutputTokens = max(c.cost.OutputTokens, int64(c.chars/bytesPerToken))
}

// certain is the part of an estimate that a turn is interrupted for. What frames say may be a little much: text is counted by its length,
// and a model that is not known costs what the dearest does. The CLI, which knows better, has its own limit and is to come first.
const certain = 0.8

// estimate is what calls have cost, by the list.
func (l *ledger) estimate(t *tally) (sum float64) {
	for _, call := range t.calls {
		sum += l.price(call.model, call.cost)
	}
	return sum
}

// price is what a call costs: by the list, and by as much more or less as this session was charged for the model so far.
func (l *ledger) price(model string, c Cost) float64 {
	usd := listPrice(model, c)
	if known := l.Models[cut(model, 100)]; known.USD > 0 {
		if list := listPrice(model, known); list > 0 {
			usd *= known.USD / list
		}
	}
	return usd
}

// listPrice is in US dollars. A model that is not known costs what the dearest does: an estimate that is too low would let
// a budget be passed unseen.
func listPrice(model string, c Cost) float64 {
	const million = 1e6
	in, out := 5.0, 25.0
	switch {
	case strings.Contains(model, "haiku"):
		in, out = 1, 5
	case strings.Contains(model, "sonnet"):
		in, out = 3, 15
	}
	return (float64(c.InputTokens)*in + float64(c.CacheReadTokens)*in/10 + float64(c.CacheWriteTokens)*in*5/4 + float64(c.OutputTokens)*out) / million
}

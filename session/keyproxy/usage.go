package keyproxy

import (
	"bytes"
	"encoding/json"
)

// Usage is what requests have used, by the API's own word.
type Usage struct {
	Requests   int     `json:"requests"`
	Refused    int     `json:"refused"`
	Input      int     `json:"input_tokens"`
	Output     int     `json:"output_tokens"`
	CacheRead  int     `json:"cache_read_tokens"`
	CacheWrite int     `json:"cache_write_tokens"`
	CostUSD    float64 `json:"cost_usd"`
}

// tokens are the API's counts for one answer.
type tokens struct {
	Input      int `json:"input_tokens"`
	Output     int `json:"output_tokens"`
	CacheRead  int `json:"cache_read_input_tokens"`
	CacheWrite int `json:"cache_creation_input_tokens"`
}

func (t tokens) total() int { return t.Input + t.Output + t.CacheRead + t.CacheWrite }

func (t tokens) cost(p Price) float64 {
	return (float64(t.Input)*p.Input + float64(t.Output)*p.Output + float64(t.CacheRead)*p.CacheRead + float64(t.CacheWrite)*p.CacheWrite) / 1e6
}

// most takes the larger of each count: within a stream they grow.
func (t tokens) most(o tokens) tokens {
	return tokens{max(t.Input, o.Input), max(t.Output, o.Output), max(t.CacheRead, o.CacheRead), max(t.CacheWrite, o.CacheWrite)}
}

// maxEvent is how long an event, or an answer that is no stream, may be for its usage to be read. Longer ones pass all the same.
const maxEvent = 16 << 20

// meter reads the usage out of an answer while it passes.
type meter struct {
	stream  bool
	buffer  []byte // the line, or the answer, so far
	skip    bool   // it is too long
	seen    tokens
	bytes   int  // of text that was generated
	settled bool // the count of the output was said
}

func (m *meter) Write(p []byte) (int, error) {
	n := len(p)
	if !m.stream {
		m.keep(p)
		return n, nil
	}
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			m.keep(p)
			return n, nil
		}
		m.keep(p[:i])
		m.line()
		p = p[i+1:]
	}
}

func (m *meter) keep(p []byte) {
	if m.skip = m.skip || len(m.buffer)+len(p) > maxEvent; m.skip {
		m.buffer = nil
		return
	}
	m.buffer = append(m.buffer, p...)
}

// line takes a line of the stream, of which those with data count.
func (m *meter) line() {
	data, ok := bytes.CutPrefix(m.buffer, []byte("data:"))
	if ok && !m.skip {
		var event struct {
			Type    string
			Usage   tokens
			Message struct{ Usage tokens }
			Delta   json.RawMessage
		}
		if json.Unmarshal(bytes.TrimSpace(data), &event) == nil {
			m.seen = m.seen.most(event.Usage).most(event.Message.Usage)
			switch event.Type {
			case "content_block_delta":
				m.bytes += len(event.Delta)
			case "message_delta":
				m.settled = true
			}
		}
	}
	m.buffer, m.skip = m.buffer[:0], false
}

// end is what the answer has used.
func (m *meter) end() tokens {
	if !m.stream {
		var answer struct{ Usage tokens }
		if !m.skip && json.Unmarshal(m.buffer, &answer) == nil {
			m.seen = m.seen.most(answer.Usage)
		}
		return m.seen.atLeast(tokens{})
	}
	m.line()
	if !m.settled {
		m.seen.Output = max(m.seen.Output, (m.bytes+3)/4)
	}
	return m.seen.atLeast(tokens{})
}

// atLeast keeps counts from being negative: no answer gives money back.
func (t tokens) atLeast(o tokens) tokens { return t.most(o) }

package stream_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/stream"
)

// refusal is a turn whose first model begins to answer, uses a tool, and is stopped; another one answers. The parts are told
// apart so that each of the two ways in which the CLI takes frames back can be left out.
func refusal(notice, supersedes string) []string {
	return []string{
		`{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":"Of course. "}]},"parent_tool_use_id":null,"uuid":"kept"}`,
		`{"type":"assistant","message":{"id":"m2","content":[{"type":"thinking","thinking":"bad"}]},"parent_tool_use_id":null,"uuid":"f1"}`,
		`{"type":"assistant","message":{"id":"m2","content":[{"type":"text","text":"I would rather"}]},"parent_tool_use_id":null,"uuid":"f2"}`,
		`{"type":"assistant","message":{"id":"m2","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{}},{"type":"tool_use","id":"t2","name":"Bash","input":{}}]},"parent_tool_use_id":null,"uuid":"f3"}`,
		`{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"x"}]},"parent_tool_use_id":null,"uuid":"r1"}`,
		`{"type":"system","subtype":"model_refusal_fallback","trigger":"refusal","direction":"retry","original_model":"a","fallback_model":"b","request_id":null,"content":"","retracted_message_uuids":` + notice + `}`,
		`{"type":"assistant","message":{"id":"m3","content":[{"type":"text","text":"Here it is."}]},"parent_tool_use_id":null,"uuid":"f4","supersedes":` + supersedes + `}`,
		`{"type":"result","subtype":"success","result":"Here it is."}`,
	}
}

const allOfIt = `["f1","f2","f3","r1","never there"]`

func TestWhatWasRetractedIsNotCollected(t *testing.T) {
	for name, lines := range map[string][]string{
		"by the notice": refusal(allOfIt, `[]`), "by the next answer": refusal(`[]`, allOfIt), "by both": refusal(allOfIt, allOfIt),
		"by an answer of which nobody asked": append(refusal(`[]`, `[]`)[:6:6],
			`{"type":"assistant","message":{"content":[]},"parent_tool_use_id":"task","uuid":"f9","supersedes":`+allOfIt+`}`, refusal(`[]`, `[]`)[6], refusal(`[]`, `[]`)[7]),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := stream.Collect(turn(t, nil, lines...))
			require.NoError(t, err)
			assert.Equal(t, "Of course. Here it is.", s.Text)
			assert.Empty(t, s.Thinking)
			assert.Empty(t, s.Tools)
			text, err := stream.FinalText(turn(t, nil, lines...))
			require.NoError(t, err)
			assert.Equal(t, "Here it is.", text)

			// Of the tools one had its result; the other one was never going to have one.
			calls, err := list(t, stream.ToolCalls(turn(t, nil, lines...), nil))
			require.NoError(t, err)
			require.Len(t, calls, 1)
			assert.Equal(t, "t1", calls[0].Use.ID)

			// What comes at once has come; and who asks can take it back.
			texts, err := list(t, stream.Text(turn(t, nil, lines...)))
			require.NoError(t, err)
			assert.Equal(t, []string{"Of course. ", "I would rather", "Here it is."}, texts)
			shown := map[string]string{}
			for m, err := range turn(t, nil, lines...) {
				require.NoError(t, err)
				for _, id := range protocol.Retracted(m) {
					delete(shown, id)
				}
				if a, ok := m.(*protocol.Assistant); ok && a.Text() != "" {
					shown[a.UUID] = a.Text()
				}
			}
			assert.Equal(t, map[string]string{"kept": "Of course. ", "f4": "Here it is."}, shown)
		})
	}
	t.Run("nothing", func(t *testing.T) {
		s, err := stream.Collect(turn(t, nil, refusal(`[]`, `[]`)...))
		require.NoError(t, err)
		assert.Equal(t, "Of course. I would ratherHere it is.", s.Text)
		assert.Equal(t, "bad", s.Thinking)
		assert.Len(t, s.Tools, 2)
	})
	t.Run("the result of a tool alone", func(t *testing.T) {
		s, err := stream.Collect(turn(t, nil, refusal(`["r1"]`, `[]`)...))
		require.NoError(t, err)
		require.Len(t, s.Tools, 2)
		assert.Nil(t, s.Tools[0].Result)
		assert.Nil(t, s.Tools[0].Message)
	})
	t.Run("by no id", func(t *testing.T) {
		s, err := stream.Collect(turn(t, nil, conversation...)) // its frames have none
		require.NoError(t, err)
		assert.Len(t, s.Tools, 3)
	})
}

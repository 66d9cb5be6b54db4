package debug

import (
	"context"
	"encoding/json"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
)

// pictures is a backend whose sessions take content blocks.
type pictures struct{ *fake }

func (p pictures) QueryContent(ctx context.Context, name string, content json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return p.Query(ctx, name, string(content))
}

func TestAPromptOfBlocks(t *testing.T) {
	f := newFake()
	f.query = answerOf(step{frame: `{"type":"result"}`})
	post := func(b Backend, body string) (int, string) {
		w := ask(fixed(b, Options{Socket: true, Actions: true}), "POST", "/debug/understudy/sessions/a/query", body)
		return w.Code, w.Body.String()
	}
	code, body := post(pictures{f}, `{"content":[{"type":"text","text":"x"}]}`)
	assert.Equal(t, 200, code, body)
	assert.Contains(t, f.called(), `query a [{"type":"text","text":"x"}]`)
	code, body = post(f, `{"content":[]}`)
	assert.Equal(t, 400, code)
	assert.Contains(t, body, "take text only")
	code, body = post(pictures{f}, `{"content":[],"prompt":"x"}`)
	assert.Equal(t, 400, code)
	assert.Contains(t, body, "exclude each other")
	code, _ = post(pictures{f}, `{}`)
	assert.Equal(t, 400, code)
}

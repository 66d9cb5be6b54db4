package debug

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestReloadIsAnAction(t *testing.T) {
	type call struct {
		principal string
		dry       bool
	}
	var calls []call
	reload := func(_ context.Context, principal string, dry bool) (Reload, error) {
		calls = append(calls, call{principal, dry})
		if dry {
			return Reload{DryRun: true}, nil
		}
		return Reload{}, &Error{BadRequest, "line 3: no such key"}
	}
	f := newFake()
	h := fixed(f, Options{Socket: true, Actions: true, Reload: reload, Principal: func(*http.Request) string { return "somebody" }})
	assert.Equal(t, http.StatusOK, ask(h, "POST", Path+"reload?dry_run=true", "").Code)
	assert.Empty(t, f.acts, "to look is no action")
	w := ask(h, "POST", Path+"reload", "")
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.Contains(t, w.Body.String(), "line 3: no such key")
	assert.Equal(t, []call{{"somebody", true}, {"somebody", false}}, calls)
	assert.Len(t, f.acts, 1)

	assert.Equal(t, http.StatusBadRequest, ask(h, "POST", Path+"reload?dry_run=perhaps", "").Code)
	assert.Equal(t, http.StatusMethodNotAllowed, ask(h, "GET", Path+"reload", "").Code)
	assert.Equal(t, http.StatusForbidden, ask(fixed(f, Options{Socket: true, Reload: reload}), "POST", Path+"reload", "").Code)
	assert.Equal(t, http.StatusServiceUnavailable, ask(fixed(f, Options{Socket: true, Actions: true}), "POST", Path+"reload", "").Code)
	assert.Len(t, calls, 2)
}

package supervisor

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type startKey struct{}

// What is made when it is asked for is what context.WithCancel would have made at once.
func TestStartContextIsLikeOneOfWithCancel(t *testing.T) {
	cause := errors.New("gone")
	for name, ends := range map[string]func(parent context.CancelCauseFunc, own func()) (err, why error){
		"not at all": func(context.CancelCauseFunc, func()) (error, error) { return nil, nil },
		"by itself": func(_ context.CancelCauseFunc, own func()) (error, error) {
			own()
			return context.Canceled, context.Canceled
		},
		"by itself twice": func(_ context.CancelCauseFunc, own func()) (error, error) {
			own()
			own()
			return context.Canceled, context.Canceled
		},
		"with its parent": func(p context.CancelCauseFunc, _ func()) (error, error) { p(cause); return context.Canceled, cause },
		"and then with its parent": func(p context.CancelCauseFunc, own func()) (error, error) {
			p(cause)
			own()
			return context.Canceled, cause
		},
	} {
		for _, asked := range []bool{false, true} { // before it ends
			parent, end := context.WithCancelCause(context.WithValue(t.Context(), startKey{}, 7))
			defer end(nil)
			s := &startContext{parent: parent}
			below, done := context.Context(nil), context.CancelFunc(func() {})
			if asked {
				assert.NoError(t, s.Err(), name)
				assert.Equal(t, 7, s.Value(startKey{}), name)
				below, done = context.WithCancel(s)
			}
			wantErr, wantCause := ends(end, s.cancel)
			assert.Equal(t, wantErr, s.Err(), "%s, asked before: %v", name, asked)
			assert.Equal(t, wantCause, context.Cause(s), "%s, asked before: %v", name, asked)
			assert.Equal(t, 7, s.Value(startKey{}), name)
			_, limited := s.Deadline()
			assert.False(t, limited, name)
			if wantErr != nil {
				<-s.Done()
			}
			if !asked {
				below, done = context.WithCancel(s)
			}
			require.Equal(t, wantErr, below.Err(), "%s, asked before: %v", name, asked)
			assert.Equal(t, wantCause, context.Cause(below), "%s, asked before: %v", name, asked)
			done()
		}
	}
}

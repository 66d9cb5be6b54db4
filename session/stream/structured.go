package stream

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/understudy-run/understudy/session/protocol"
)

// ErrNoOutput says that the turn succeeded without structured output: no schema was asked for, or the model did not
// keep to it. The text of the answer is in the error that wraps it.
var ErrNoOutput = errors.New("the turn has no structured output")

// Structured reads to the end and decodes the structured output into a T. It is for sessions with a JSON schema for
// their answers. What does not fit T is an error that says where.
func Structured[T any](messages Messages) (T, error) {
	var value T
	result, err := FinalResult(messages)
	if err != nil {
		return value, err
	}
	return Output[T](result)
}

// Output decodes the structured output of a result.
func Output[T any](result *protocol.Result) (T, error) {
	var value T
	if len(result.StructuredOutput) == 0 || string(result.StructuredOutput) == "null" {
		return value, fmt.Errorf("%w: it says %q", ErrNoOutput, cut(result.Result, 200))
	}
	if err := json.Unmarshal(result.StructuredOutput, &value); err != nil {
		return value, fmt.Errorf("decode structured output: %w", err)
	}
	return value, nil
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

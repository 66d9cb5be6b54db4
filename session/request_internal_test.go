package session

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Several requests to change settings are one, with the same outcome.
func TestSettingsInOneRequest(t *testing.T) {
	for _, test := range []struct {
		requests []string
		want     string
	}{
		{[]string{`{"a": 1}`}, `{"a": 1}`},
		{[]string{`{"a": {"x": 1, "y": 2}, "b": 1}`, `{"a": {"x": 3}}`, `{"c": 4}`}, `{"a": {"x": 3}, "b": 1, "c": 4}`},
		{[]string{`{"a": 1}`, `{"a": null}`}, `{"a": null}`},
		{[]string{`{"ultracode": true}`, `{"effortLevel": "high"}`}, `{"effortLevel": "high"}`},
		{[]string{`{"effortLevel": "high"}`, `{"ultracode": true}`}, `{"effortLevel": "high", "ultracode": true}`},
		{[]string{`{"a": 1}`, `damaged`, `{"b": 2}`}, `{"a": 1, "b": 2}`},
	} {
		var requests []json.RawMessage
		for _, text := range test.requests {
			requests = append(requests, json.RawMessage(text))
		}
		assert.JSONEq(t, test.want, string(inOne(requests)), "%s", test.requests)
	}
}

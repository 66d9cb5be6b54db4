package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNear(t *testing.T) {
	keys := SessionKeys()
	for got, want := range map[string]string{
		"max_turn": "max_turns", "maxTurns": "max_turns", "MaxTurns": "max_turns", "max-turns": "max_turns", "MAX_TURNS": "max_turns",
		"modle": "model", "allowedTools": "allowed_tools", "disalowed_tool": "disallowed_tools", "evn": "env", "perm": "",
		"permission_m": "permission_mode", "systemprompt": "system_prompt", "add_dirs": "add_dir", "x": "", "": "", "name": "", "colour": "",
	} {
		assert.Equal(t, want, near(got, keys), got)
	}
}

func TestEditDistance(t *testing.T) {
	for _, r := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"tools", "tolos", 1}, {"é", "e", 1}} {
		assert.Equal(t, r.want, editDistance(r.a, r.b), "%q %q", r.a, r.b)
		assert.Equal(t, r.want, editDistance(r.b, r.a), "%q %q", r.b, r.a)
	}
}

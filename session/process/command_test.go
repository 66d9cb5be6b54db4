package process

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStartTellsWhatIsStarted(t *testing.T) {
	l := launch(t, "idle")
	l.PrefixArgs, l.APIKey = []string{"first"}, "sk-made-up"
	var args, env []string
	p := begin(t, l, Options{OnCommand: func(a, e []string) { args, env = a, e }})
	p.Kill()
	assert.Equal(t, []string{"first", "--print"}, args[:2])
	assert.Contains(t, env, "ANTHROPIC_API_KEY")
	assert.Contains(t, env, MarkerVariable)
	for _, name := range append(args, env...) {
		assert.NotContains(t, name, "sk-made-up")
	}
}

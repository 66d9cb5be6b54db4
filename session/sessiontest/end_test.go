package sessiontest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGarbageAndExit(t *testing.T) {
	h := start(t, nil)
	h.prompt("[[garbage:hello {]] [[stderr:it broke]] [[exit:3]]")
	f := h.untilType("garbage")
	assert.Equal(t, "hello {\n", f["line"])
	assert.Equal(t, 3, h.exit())
	assert.Equal(t, "it broke\n", h.stderr.String())
}

func TestTornAndUnknownFrames(t *testing.T) {
	h := start(t, nil)
	h.prompt("[[unknown]] [[torn]]")
	assert.Equal(t, "never_seen_before", h.untilKind("never_seen_before").str("type"))
	torn := h.next()
	assert.Equal(t, "garbage", torn.str("type"))
	assert.NotContains(t, torn.str("line"), "\n")
	assert.Zero(t, h.exit(), "and no result")
}

func TestCrashInsideAProcess(t *testing.T) {
	for _, moment := range []string{"crash", "crash:early", "crash:answer", "crash:result"} {
		t.Run(moment, func(t *testing.T) {
			h := start(t, nil)
			h.prompt("[[" + moment + "]]")
			assert.Equal(t, 137, h.exit())
			results := 0
			for _, f := range h.seen {
				if f.kind() == "result" {
					results++
				}
			}
			want := map[string]int{"crash:result": 1}[moment]
			assert.Equal(t, want, results)
		})
	}
}

func TestEndOfInput(t *testing.T) {
	t.Run("finishes the turn", func(t *testing.T) {
		h := start(t, nil, "--allowedTools=Bash")
		h.prompt(`[[tool:Bash {"command":"read -t 0.1 < /dev/zero; true"}]]`)
		h.untilType("assistant")
		assert.Zero(t, h.end())
		assert.Contains(t, h.kinds(), "result")
	})
	t.Run("answers its own question", func(t *testing.T) {
		h := start(t, nil, "--permission-prompt-tool=stdio")
		h.prompt(`[[tool:Bash {"command":"touch x"}]]`)
		h.untilKind("can_use_tool")
		assert.Zero(t, h.end())
		assert.Contains(t, h.kinds(), "result")
		assert.NoFileExists(t, "x")
	})
	t.Run("waits for background work", func(t *testing.T) {
		h := start(t, nil)
		h.turn("[[selfturn:50ms late]]")
		h.forget()
		assert.Zero(t, h.end())
		assert.Contains(t, h.kinds(), "result")
	})
	t.Run("after an error", func(t *testing.T) {
		h := start(t, map[string]string{"CLAUDE_CODE_MAX_RETRIES": "0"})
		assert.Equal(t, true, h.turn("[[status:500]]")["is_error"])
		assert.Equal(t, 1, h.end())
	})
	t.Run("before anything", func(t *testing.T) {
		assert.Zero(t, start(t, nil).end())
	})
}

func TestInvalidKey(t *testing.T) {
	h := start(t, map[string]string{
		"UNDERSTUDY_SIM_KEY": "right", "ANTHROPIC_API_KEY": "wrong", "CLAUDE_CODE_MAX_RETRIES": "1", "UNDERSTUDY_SIM_RETRY": "1ms",
	})
	result := h.turn("hello")
	retry := h.seen[3]
	assert.Equal(t, "api_retry", retry.kind())
	assert.Equal(t, "authentication_failed", retry["error"])
	assert.Equal(t, float64(401), retry["error_status"])
	assert.Equal(t, true, result["is_error"])
	assert.Equal(t, float64(401), result["api_error_status"])
	assert.Equal(t, 1, h.end())
}

func TestStartup(t *testing.T) {
	t.Run("garbage", func(t *testing.T) {
		h := start(t, map[string]string{"UNDERSTUDY_SIM_STARTUP": "garbage"})
		assert.Equal(t, "garbage", h.next().str("type"))
		assert.Equal(t, 1, h.end())
	})
	t.Run("silent", func(t *testing.T) {
		h := start(t, map[string]string{"UNDERSTUDY_SIM_STARTUP": "silent"})
		h.request(frame{"subtype": "initialize"})
		assert.Equal(t, 1, h.end())
		assert.Empty(t, h.seen)
	})
	t.Run("slow", func(t *testing.T) {
		h := start(t, map[string]string{"UNDERSTUDY_SIM_STARTUP": "slow:20ms"})
		assert.Equal(t, "success", h.initialize(nil).str("response", "subtype"))
		assert.Zero(t, h.end())
	})
	t.Run("exit", func(t *testing.T) {
		assert.Equal(t, 7, start(t, map[string]string{"UNDERSTUDY_SIM_STARTUP": "exit:7"}).exit())
	})
}

func TestWorkByItself(t *testing.T) {
	h := start(t, map[string]string{"UNDERSTUDY_SIM_WORK_EVERY": "5ms"})
	h.initialize(nil)
	result := h.untilType("result")
	assert.Equal(t, "task-notification", result.str("origin", "kind"))
	assert.Equal(t, "success", result["subtype"])
	_ = h.end()
}

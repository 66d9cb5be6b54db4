package sessiontest_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unseen are values whose keys are not compared: product texts, and what depends on the machine.
var unseen = []string{
	"commands", "agents", "models", "plugins", "usage", "modelUsage", "model_usage_since_last_result", "subagent_stats", "tools",
	"capabilities", "input", "tool_input", "tool_response", "permission_suggestions", "event", "structured", "tool_use_result", "delta",
}

// compared are the keys whose values are compared.
var compared = []string{
	"type", "subtype", "is_error", "num_turns", "terminal_reason", "stop_reason", "total_cost_usd", "result_index", "attempt", "error_status",
	"decision", "source", "reason_type", "decision_reason_type", "non_execution_kind", "permissionMode", "hook_event_name", "tool_name",
	"callback_id", "still_queued", "state", "status", "api_error_status", "error", "name",
}

// shape is a frame without what differs from run to run: some values, and the paths of all keys.
func shape(f frame) string {
	values, paths := map[string]bool{}, map[string]bool{}
	describe(map[string]any(f), "", values, paths)
	return strings.Join(slices.Sorted(maps.Keys(values)), " ") + " | " + strings.Join(slices.Sorted(maps.Keys(paths)), " ")
}

func describe(v any, prefix string, values, paths map[string]bool) {
	switch v := v.(type) {
	case []any:
		if len(v) > 0 {
			describe(v[0], prefix, values, paths)
		}
	case map[string]any:
		for key, value := range v {
			paths[prefix+key] = true
			object, isObject := value.(map[string]any)
			_, isList := value.([]any)
			_, isHook := object["hook_event_name"]
			switch {
			case slices.Contains(compared, key) && !isObject && !isList:
				data, _ := json.Marshal(value) // it was JSON
				values[prefix+key+"="+string(data)] = true
			case key == "event":
				values[prefix+`event.type="`+frame(object).str("type")+`"`] = true
			case !slices.Contains(unseen, key) || isHook:
				describe(value, prefix+key+".", values, paths)
			}
		}
	}
}

// The simulation is played what was played to the real CLI, and must answer with frames of the same shape in the same order.
func TestSimulationAnswersAsRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/recorded/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			play(t, strings.Split(strings.TrimSpace(string(data)), "\n"))
		})
	}
}

func play(t *testing.T, lines []string) {
	env := map[string]string{"ANTHROPIC_API_KEY": "test-key-not-real", "UNDERSTUDY_SIM_RETRY": "1ms"}
	var args []string
	var h *host
	var last frame
	var agent string   // the subagent that has spoken last
	var asked []string // requests that the host has not answered, oldest first
	for number, line := range lines {
		kind, rest, _ := strings.Cut(line, " ")
		if h == nil && (kind == "<" || kind == ">") {
			h = start(t, env, args...)
		}
		switch kind {
		case "#":
		case "args":
			args = strings.Fields(rest)
		case "env":
			name, value, _ := strings.Cut(rest, "=")
			env[name] = value
		case "<":
			dir, err := os.Getwd()
			require.NoError(t, err)
			var f frame
			require.NoError(t, json.Unmarshal(bytes.ReplaceAll([]byte(rest), []byte("/workspace"), []byte(dir)), &f))
			if f.str("type") == "control_response" {
				require.NotEmpty(t, asked, "line %d: nothing was asked", number+1)
				f["response"].(map[string]any)["request_id"] = asked[0]
				asked = asked[1:]
			}
			if f.str("request", "task_id") != "" {
				f["request"].(map[string]any)["task_id"] = agent
			}
			h.send(f)
		case ">":
			last = h.next()
			require.NotNil(t, last, "line %d: the output ended, want %s", number+1, rest)
			require.Equal(t, rest, shape(last), "line %d", number+1)
			if last.str("type") == "control_request" {
				asked = append(asked, last.str("request_id"))
			}
			if last.str("type") == "assistant" {
				agent = last.str("agent_id")
			}
		default:
			t.Fatalf("line %d: unknown line %q", number+1, line)
		}
	}
	if last.str("subtype") == "error_during_execution" && len(args) > 0 && strings.HasPrefix(args[0], "--resume") {
		assert.Equal(t, 1, h.exit())
		assert.Contains(t, h.stderr.String(), "No conversation found with session ID")
		return
	}
	want := 0
	if last["is_error"] == true {
		want = 1
	}
	assert.Equal(t, want, h.end(), "exit code; stderr: %s", h.stderr)
}

package understudy_test

import (
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
)

// workspaceOptions are about where the session works, and with what.
var workspaceOptions = map[string]optionTest{
	"cwd": {func(r *optionRig) { r.spec.CWD = r.work }, func(r *optionRig) {
		assert.Equal(r, r.work, r.init.CWD)
		assert.Equal(r, r.work, strings.TrimSpace(r.use(`Bash {"command":"pwd"}`)))
	}},
	"add_dir": {func(r *optionRig) { r.spec.AddDir = []string{r.TempDir()} }, func(r *optionRig) {
		path := filepath.Join(r.spec.AddDir[0], "beside")
		r.write(path, "what is beside")
		assert.Contains(r, r.use(`Read {"file_path":"`+path+`"}`), "what is beside")
	}},
	"confine_files": {func(r *optionRig) { r.spec.ConfineFiles = new(true) }, func(r *optionRig) {
		path := filepath.Join(r.TempDir(), "outside")
		r.write(path, "what is outside")
		assert.NotContains(r, r.use(`Read {"file_path":"`+path+`"}`), "what is outside")
	}},
	"enable_file_checkpointing": {func(r *optionRig) { r.spec.EnableFileCheckpointing = true }, func(r *optionRig) {
		prompt := session.TextPrompt(`[[tool:Write {"file_path":"` + filepath.Join(r.work, "written") + `","content":"new"}]]`)
		prompt.UUID = "0ddba11a-58cc-4372-a567-0e02b2c3d479"
		_, err := r.AskPrompt(r.within(), prompt)
		require.NoError(r, err)
		require.True(r, exists(filepath.Join(r.work, "written")))
		_, err = r.RewindFiles(r.within(), prompt.UUID, false)
		require.NoError(r, err)
		assert.False(r, exists(filepath.Join(r.work, "written")))
	}},
	"session_id": {func(r *optionRig) { r.spec.SessionID = "f47ac10b-58cc-4372-a567-0e02b2c3d479" }, func(r *optionRig) {
		assert.Equal(r, r.spec.SessionID, r.init.SessionID)
	}},
	"title": {func(r *optionRig) { r.spec.Title = "a title of ours" }, func(r *optionRig) {
		assert.NotEmpty(r, holds(r.T, filepath.Join(r.config, "projects"), "a title of ours"))
	}},
	"settings": {func(r *optionRig) {
		r.spec.Settings.Values = map[string]any{
			"env":   map[string]any{"FROM_SETTINGS": "yes"},
			"hooks": map[string]any{"PostToolUse": []any{map[string]any{"matcher": "Bash", "hooks": []any{map[string]any{"type": "command", "command": "true"}}}}},
		}
	}, func(r *optionRig) {
		assert.Equal(r, "yes", strings.TrimSpace(r.use(`Bash {"command":"echo $FROM_SETTINGS"}`)))
	}},
	"managed_settings": {func(r *optionRig) {
		r.spec.ManagedSettings = map[string]any{"permissions": map[string]any{"deny": []any{"Bash(touch managed)"}}}
	}, func(r *optionRig) {
		r.use(`Bash {"command":"touch managed"}`)
		assert.False(r, exists(filepath.Join(r.work, "managed")))
	}},
	"setting_sources": {func(r *optionRig) {
		r.write(filepath.Join(r.config, "settings.json"), `{"env": {"FROM_USER": "user"}}`)
		r.spec.SettingSources = []string{"user"}
	}, func(r *optionRig) {
		assert.Equal(r, "user", strings.TrimSpace(r.use(`Bash {"command":"echo $FROM_USER"}`)))
	}},
	"env": {func(r *optionRig) { r.spec.Env = with(r.spec.Env, "FROM_ENV", "a b=c") }, func(r *optionRig) {
		assert.Equal(r, "a b=c", strings.TrimSpace(r.use(`Bash {"command":"echo \"$FROM_ENV\""}`)))
	}},
	"inherit_env": {func(r *optionRig) { r.spec.InheritEnv = []string{"OPTION_TEST_*"} }, func(r *optionRig) {
		assert.Equal(r, "one-", strings.TrimSpace(r.use(`Bash {"command":"echo $OPTION_TEST_ONE-$NOT_OPTION_TEST"}`)))
	}},
	"unset_env": {func(r *optionRig) { r.spec.UnsetEnv = []string{"OPTION_TEST_TWO"} }, func(r *optionRig) {
		assert.Equal(r, "-", strings.TrimSpace(r.use(`Bash {"command":"echo $OPTION_TEST_TWO-"}`)))
	}},
	"api_key": {func(r *optionRig) { r.spec.APIKey = madeUpKey }, func(r *optionRig) {
		assert.Equal(r, madeUpKey, r.call("hello").Key)
		assert.Equal(r, "ANTHROPIC_API_KEY", r.init.APIKeySource)
	}},
	"claude_md": {func(r *optionRig) {
		r.write(filepath.Join(r.work, "RULES.md"), "Rule one of the file.")
		r.spec.ClaudeMD = []string{"RULES.md"}
	}, func(r *optionRig) {
		assert.Contains(r, r.call("hello").System, "Rule one of the file.")
	}},
}

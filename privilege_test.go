package understudy_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// use is a tool that the model is made to use, and what shall become of it.
type use struct {
	what string
	call string
	may  bool
}

// call is a prompt that makes the model use a tool.
func call(name string, input map[string]any) string {
	data, err := json.Marshal(input)
	if err != nil {
		panic(err)
	}
	return "[[tool:" + name + " " + string(data) + "]]"
}

func writes(path string) string {
	return call("Write", map[string]any{"file_path": path, "content": "written"})
}
func reads(path string) string { return call("Read", map[string]any{"file_path": path}) }

// is reports whether an event is the end of the last call of a use. To some inputs the CLI adds what goes without saying.
func (u use) is(t require.TestingT, e session.ToolEvent) bool {
	name, text, _ := strings.Cut(u.call[strings.LastIndex(u.call, "[[tool:")+len("[[tool:"):], " ")
	var want, got map[string]any
	require.NoError(t, json.Unmarshal([]byte(strings.TrimSuffix(text, "]]")), &want))
	require.NoError(t, json.Unmarshal(e.Input, &got))
	for key := range got {
		if _, asked := want[key]; !asked {
			delete(got, key)
		}
	}
	return name == e.Name && assert.ObjectsAreEqual(want, got)
}

// tries has the session use the tools in one turn, and compares. Tools may end in any order.
func (r *rig) tries(uses []use) {
	r.Helper()
	events := make(chan session.ToolEvent, 2*len(uses))
	r.spec.ToolCallback = func(e session.ToolEvent) { events <- e }
	if r.spec.CanUseTool == nil {
		r.spec.PermissionPrompts = session.PromptsNone // nobody is there
	}
	r.boot()
	var prompt strings.Builder
	for _, u := range uses {
		prompt.WriteString(u.call)
	}
	_, err := r.ask(prompt.String())
	require.NoError(r, err)
	var ends []session.ToolEvent
	for range strings.Count(prompt.String(), "[[tool:") {
		select {
		case e := <-events:
			ends = append(ends, e)
		case <-time.After(patience):
			require.FailNow(r, "there is no word of some tools", "%v", ends)
		}
	}
	for _, u := range uses {
		i := slices.IndexFunc(ends, func(e session.ToolEvent) bool { return u.is(r, e) })
		require.GreaterOrEqual(r, i, 0, "%s: no word of it: %s", u.what, ends)
		e := ends[i]
		assert.Equal(r, u.may, !e.IsError, "%s: %.300s", u.what, e.Result)
	}
}

// TestPermissionModes has tools tried that each mode of the guide must allow, and such that it must deny, by the profile that
// stands for the mode, and by the mode alone where the guide has a session with it.
func TestPermissionModes(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		spec func(*rig)
		uses func(*rig) []use
	}{
		"review is plan": {
			spec: func(r *rig) { r.spec.Profile, r.spec.AllowedTools = session.ProfileReview, nil },
			uses: func(r *rig) []use {
				return []use{
					{"read", reads(filepath.Join(r.work, "there")), true},
					{"search", call("Grep", map[string]any{"pattern": "text"}), true},
					{"write", writes(filepath.Join(r.work, "new")), false},
					{"run", bash("touch ran"), false},
					{"read elsewhere", reads("/etc/passwd"), false},
				}
			},
		},
		"ci is dontAsk": {
			spec: func(r *rig) {
				r.spec.Profile, r.spec.AllowedTools = session.ProfileCI, []string{"Read", "Bash(mkdir:*)"}
				r.spec.Sandbox.Enabled = new(false) // the sandbox has tests of its own
			},
			uses: func(r *rig) []use {
				return []use{
					{"read", reads(filepath.Join(r.work, "there")), true},
					{"an allowed command", bash("mkdir made"), true},
					{"another command", bash("touch ran"), false},
					{"another command behind an allowed one", bash("mkdir also && touch ran"), false},
					{"another command in an allowed one", bash("mkdir $(touch ran)"), false},
					{"write", writes(filepath.Join(r.work, "new")), false},
				}
			},
		},
		"edit is acceptEdits": {
			spec: func(r *rig) {
				r.spec.Profile, r.spec.AllowedTools = session.ProfileEdit, nil
				r.spec.Sandbox.Enabled = new(false)
			},
			uses: func(r *rig) []use {
				return []use{
					{"write", writes(filepath.Join(r.work, "new")), true},
					{"read", reads(filepath.Join(r.work, "there")), true},
					{"write elsewhere", writes(filepath.Join(r.options.DataDir, "new")), false},
					{"run a program", bash("curl http://127.0.0.1:1/"), false},
				}
			},
		},
		"interactive is default": {
			spec: func(r *rig) {
				r.spec.Profile, r.spec.AllowedTools = session.ProfileInteractive, nil
				r.spec.Sandbox.Enabled = new(false)
				r.spec.CanUseTool = func(_ context.Context, q *protocol.CanUseTool) (protocol.PermissionResult, error) {
					if strings.Contains(string(q.Input), "please") {
						return protocol.Allowed(q), nil
					}
					return protocol.NewDeny("no")
				}
			},
			uses: func(r *rig) []use {
				return []use{
					{"read", reads(filepath.Join(r.work, "there")), true},
					{"what the human allows", bash("touch please"), true},
					{"what the human denies", bash("touch ran"), false},
					{"what nobody can allow", writes(filepath.Join(r.options.DataDir, "please")), false},
				}
			},
		},
		"plan with rules": {
			spec: func(r *rig) {
				r.spec.PermissionMode, r.spec.AllowedTools = protocol.ModePlan, []string{"Read", "Glob", "Grep"}
				r.spec.AddDir = []string{t.TempDir()}
				require.NoError(r, os.WriteFile(filepath.Join(r.spec.AddDir[0], "there"), []byte("text\n"), 0o600))
			},
			uses: func(r *rig) []use {
				return []use{
					{"read", reads(filepath.Join(r.work, "there")), true},
					{"read in add_dir", reads(filepath.Join(r.spec.AddDir[0], "there")), true},
					{"read elsewhere", reads("/etc/passwd"), false},
					{"search", call("Grep", map[string]any{"pattern": "text"}), true},
					{"find", call("Glob", map[string]any{"pattern": "the*"}), true},
					{"write", writes(filepath.Join(r.work, "new")), false},
					{"run", bash("touch ran"), false},
				}
			},
		},
		"a build agent": {
			spec: func(r *rig) {
				r.spec.PermissionMode, r.spec.AllowedTools = "", []string{"Read", "Edit", "Bash(mix:*)", "Bash(git:*)"}
				r.spec.DisallowedTools = []string{"Bash(rm:*)", "Bash(curl:*)"}
				bin := r.TempDir()
				for _, name := range []string{"mix", "git"} {
					require.NoError(r, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho \"$0 $*\"\n"), 0o700))
				}
				r.spec.Env = with(r.spec.Env, "PATH", bin+":"+os.Getenv("PATH"))
			},
			uses: func(r *rig) []use {
				there := filepath.Join(r.work, "there")
				return []use{
					{"read", reads(there), true},
					{"edit", reads(there) + call("Edit", map[string]any{"file_path": there, "old_string": "text", "new_string": "words"}), true},
					{"build", bash("mix compile"), true},
					{"look", bash("git status"), true},
					{"build and look", bash("mix compile && git log"), true},
					{"remove", bash("rm there"), false},
					{"remove behind what is allowed", bash("mix clean && rm there"), false},
					{"fetch", bash("curl http://127.0.0.1:1/"), false},
					{"something else", bash("touch ran"), false},
					{"write a new file", writes(filepath.Join(r.work, "new")), false},
				}
			},
		},
		"bypassPermissions": {
			spec: func(r *rig) {
				needSandbox(r)
				r.spec.PermissionMode, r.spec.AllowDangerouslySkipPermissions, r.spec.AllowedTools = protocol.ModeBypassPermissions, true, nil
				r.spec.Sandbox.Enabled, r.spec.DisallowedTools = new(true), []string{"Bash(rm:*)"}
				r.spec.Env["IS_SANDBOX"] = "1" // it is tested as root
			},
			uses: func(r *rig) []use {
				return []use{
					{"run", bash("touch please"), true},
					{"write", writes(filepath.Join(r.work, "new")), true},
					{"write elsewhere", writes(filepath.Join(r.options.DataDir, "new")), false},
					{"leave the sandbox", bash("touch " + r.options.DataDir + "/ran"), false},
					{"what is denied", bash("rm there"), false},
				}
			},
		},
		"denying wins": {
			spec: func(r *rig) {
				r.spec.PermissionMode = protocol.ModeDontAsk
				r.spec.AllowedTools = []string{"Bash", "Bash(touch ran)", "Read", "Write"}
				r.spec.DisallowedTools = []string{"Bash(touch:*)", "Read(secret/**)", "Write"}
			},
			uses: func(r *rig) []use {
				return []use{
					{"another command", bash("mkdir made"), true},
					{"the command", bash("touch ran"), false},
					{"the command behind another", bash("mkdir also; touch ran"), false},
					{"read", reads(filepath.Join(r.work, "there")), true},
					{"read what is denied", reads(filepath.Join(r.work, "secret/there")), false},
					{"a tool that is denied as a whole", writes(filepath.Join(r.work, "new")), false},
				}
			},
		},
	}
	guide, err := os.ReadFile("docs/secure-deployment.md")
	require.NoError(t, err)
	modes := regexp.MustCompile("(?m)^\\| `([A-Za-z]+)` \\|.*\\| `([a-z]+)` \\|$").FindAllStringSubmatch(string(guide), -1)
	require.Len(t, modes, 4)
	for _, mode := range modes {
		assert.Contains(t, rows, mode[2]+" is "+mode[1])
	}
	for name, test := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true)
			require.NoError(t, os.WriteFile(filepath.Join(r.work, "there"), []byte("text\n"), 0o600))
			require.NoError(t, os.Mkdir(filepath.Join(r.work, "secret"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(r.work, "secret", "there"), []byte("text\n"), 0o600))
			test.spec(r)
			r.tries(test.uses(r))
			assert.False(t, exists(filepath.Join(r.work, "ran")), "what was denied has no effect")
		})
	}
}

// TestFileToolsStayInside has file tools try what lies outside of the working directories, directly and by a link that the
// repository brought.
func TestFileToolsStayInside(t *testing.T) {
	t.Parallel()
	for name, confine := range map[string]*bool{"default": nil, "switched off": new(false)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true)
			outside, shared := t.TempDir(), t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(outside, "there"), []byte("text\n"), 0o600))
			require.NoError(t, os.Symlink(outside, filepath.Join(r.work, "link")))
			r.spec.PermissionMode, r.spec.AllowedTools = protocol.ModeDontAsk, []string{"Read", "Write", "Edit"}
			r.spec.AddDir, r.spec.ConfineFiles = []string{shared}, confine
			open := confine != nil
			r.tries([]use{
				{"write inside", writes(filepath.Join(r.work, "new")), true},
				{"write in add_dir", writes(filepath.Join(shared, "new")), true},
				{"write outside", writes(filepath.Join(outside, "new")), open},
				{"write through a link", writes(filepath.Join(r.work, "link", "new2")), false},
				{"read outside", reads(filepath.Join(outside, "there")), open},
				{"read through a link", reads(filepath.Join(r.work, "link", "there")), open},
				{"read of the system", reads("/etc/passwd"), open},
				{"plant settings", writes(filepath.Join(r.work, ".claude", "settings.json")), false},
				{"plant a server", writes(filepath.Join(r.work, ".mcp.json")), false},
				{"plant a hook", writes(filepath.Join(r.work, ".git", "hooks", "pre-commit")), false},
			})
			assert.Equal(t, open, exists(filepath.Join(outside, "new")))
		})
	}
}

// needSandbox skips a test where the CLI's sandbox cannot be had.
func needSandbox(r *rig) {
	r.Helper()
	for _, tool := range []string{"bwrap", "socat"} {
		if !exists("/usr/bin/"+tool) && os.Getenv("CI") != "true" {
			r.Skip("the CLI's sandbox needs " + tool)
		}
	}
}

package session_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

func TestDirectoriesThatExcludeEachOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, made := range []string{"app/docs", "application", "other"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, made), 0o700))
	}
	require.NoError(t, os.Symlink("app", filepath.Join(dir, "current")))
	require.NoError(t, os.Symlink("later", filepath.Join(dir, "dangling")))
	at := func(path string) session.Options { return session.Options{CWD: dir + "/" + path} }
	own := at("app")
	own.ExclusiveCWD = true
	tree := func(path, worktree string) session.Options {
		o := at(path)
		o.ExclusiveCWD, o.Worktree = true, session.Toggle{On: true, Value: worktree}
		return o
	}
	adding := func(o session.Options) session.Options { o.AddDir = []string{dir + "/app/docs"}; return o }
	reader := at("other")
	reader.Profile = session.ProfileReview
	box := at("app")
	box.Launcher = process.Launcher{Kind: process.LaunchDocker, Container: "box"}
	for name, test := range map[string]struct {
		a, b session.Options
		want bool
	}{
		"the same":                         {own, at("app"), true},
		"with a slash":                     {own, at("app/"), true},
		"with dots":                        {own, at("other/../app/."), true},
		"by a link":                        {own, at("current"), true},
		"below a link":                     {own, at("current/docs"), true},
		"back from behind a link":          {own, at("current/docs/.."), true},
		"below":                            {own, at("app/docs"), true},
		"below, and not there yet":         {own, at("app/new/deep"), true},
		"above":                            {own, at(""), true},
		"beside, of a longer name":         {own, at("application"), false},
		"beside":                           {own, at("other"), false},
		"nobody wants it alone":            {at("app"), at("app"), false},
		"where a link leads once it is":    {func() session.Options { o := at("later"); o.ExclusiveCWD = true; return o }(), at("dangling/x"), true},
		"another one may write there":      {own, adding(at("other")), true},
		"another one may read there":       {own, adding(reader), false},
		"it may write where another works": {func() session.Options { o := adding(at("other")); o.ExclusiveCWD = true; return o }(), own, true},
		"an added directory is not its own": {
			func() session.Options { o := adding(at("other")); o.ExclusiveCWD = true; return o }(), at("app"), false},
		"a checkout each":            {tree("app", "one"), tree("app", "two"), false},
		"one checkout for two":       {tree("app", "one"), tree("app", "one"), true},
		"a checkout each, by " + "/": {tree("app", "a/b"), tree("app", "a+b"), true},
		"a checkout and all":         {tree("app", "one"), at("app"), true},
		"in a container":             {own, box, false},
	} {
		a, b := test.a.Directories("a"), test.b.Directories("b")
		mine, theirs := a.Excludes(b)
		assert.Equal(t, test.want, mine != "", name)
		back, forth := b.Excludes(a)
		assert.Equal(t, []string{mine, theirs}, []string{forth, back}, "%s: whoever is asked", name)
	}
	require.Error(t, func() error { box.ExclusiveCWD = true; return box.Validate() }())
}

// TestDirectoriesOnRandomTrees compares what paths say with what the kernel does: it walks up from a directory by its own "..".
func TestDirectoriesOnRandomTrees(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	tree := 0
	rapid.Check(t, func(r *rapid.T) {
		tree++
		base := filepath.Join(root, fmt.Sprint(tree))
		dirs := []string{base}
		require.NoError(r, os.Mkdir(base, 0o700))
		for i := range rapid.IntRange(1, 12).Draw(r, "entries") {
			path := filepath.Join(rapid.SampledFrom(dirs).Draw(r, "in"), fmt.Sprintf("%c%d", 'a'+i%2, i/2))
			if rapid.Bool().Draw(r, "link") {
				target := rapid.SampledFrom(dirs).Draw(r, "to")
				if rapid.Bool().Draw(r, "relative") {
					real, err := filepath.EvalSymlinks(filepath.Dir(path))
					require.NoError(r, err)
					to, err := filepath.EvalSymlinks(target)
					require.NoError(r, err)
					target, err = filepath.Rel(real, to)
					require.NoError(r, err)
				}
				if os.Symlink(target, path) != nil {
					continue // it is there by another name
				}
			} else if os.Mkdir(path, 0o700) != nil {
				continue
			}
			dirs = append(dirs, path)
		}
		within := func(dir, path string) bool {
			want, err := os.Stat(dir)
			require.NoError(r, err)
			for at := path; ; at += "/.." {
				here, err := os.Stat(at)
				require.NoError(r, err)
				if os.SameFile(want, here) {
					return true
				}
				if above, err := os.Stat(at + "/.."); err != nil || os.SameFile(here, above) {
					return false
				}
			}
		}
		a, b := rapid.SampledFrom(dirs).Draw(r, "a"), rapid.SampledFrom(dirs).Draw(r, "b")
		one := session.Options{CWD: a, ExclusiveCWD: true}.Directories("a")
		two := session.Options{CWD: b + rapid.SampledFrom([]string{"", "/", "/."}).Draw(r, "end")}.Directories("b")
		mine, _ := one.Excludes(two)
		assert.Equal(r, within(a, b) || within(b, a), mine != "", "%s and %s: %+v %+v", a, b, one, two)
	})
}

func TestWhoMayWrite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		o    session.Options
		want bool
	}{
		"by default somebody is asked":    {session.Options{}, true},
		"nobody is asked":                 {session.Options{PermissionPrompts: session.PromptsNone}, false},
		"edits are accepted":              {session.Options{PermissionMode: protocol.ModeAcceptEdits}, true},
		"a plan":                          {session.Options{PermissionMode: protocol.ModePlan}, false},
		"a plan with a rule":              {session.Options{PermissionMode: protocol.ModePlan, AllowedTools: []string{"Bash(make:*)"}}, true},
		"dontAsk":                         {session.Options{PermissionMode: protocol.ModeDontAsk, AllowedTools: []string{"Read"}}, false},
		"dontAsk with a rule":             {session.Options{PermissionMode: protocol.ModeDontAsk, AllowedTools: []string{"Edit(src/**)"}}, true},
		"dontAsk, the rule denied":        {session.Options{PermissionMode: protocol.ModeDontAsk, AllowedTools: []string{"Edit"}, DisallowedTools: []string{"Edit"}}, false},
		"dontAsk with a sandbox":          {session.Options{PermissionMode: protocol.ModeDontAsk, Sandbox: session.Sandbox{Enabled: new(true)}}, true},
		"only readers":                    {session.Options{PermissionMode: protocol.ModeBypassPermissions, Tools: []string{"Read", "Grep"}}, false},
		"no tools":                        {session.Options{DangerouslySkipPermissions: true, Tools: []string{}}, false},
		"readers and a server":            {session.Options{Tools: []string{"Read"}, MCPServers: map[string]session.MCPServer{"x": {Command: "x"}}}, true},
		"a server that nothing allows":    {session.Options{PermissionMode: protocol.ModePlan, MCPServers: map[string]session.MCPServer{"x": {Command: "x"}}}, false},
		"an agent that may more":          {session.Options{PermissionMode: protocol.ModePlan, Agents: map[string]session.Agent{"a": {PermissionMode: protocol.ModeAcceptEdits}}}, true},
		"all dangerous permissions":       {session.Options{PermissionMode: protocol.ModePlan, DangerouslySkipPermissions: true}, true},
		"the profile review":              {session.Options{Profile: session.ProfileReview}, false},
		"the profile ci":                  {session.Options{Profile: session.ProfileCI}, false},
		"the profile ci, with a command":  {session.Options{Profile: session.ProfileCI, AllowedTools: []string{"Bash(go test:*)"}}, true},
		"the profiles edit":               {session.Options{Profile: session.ProfileEdit}, true},
		"the profile interactive":         {session.Options{Profile: session.ProfileInteractive}, true},
		"the default tools, named as one": {session.Options{Tools: []string{"default"}}, true},
	} {
		assert.Equal(t, test.want, test.o.MayWrite(), name)
	}
}

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Fault: the CLI's binary is missing, was replaced by something that is none, or may not be executed; its directory is gone
// Outcome: a typed error at once that says what to do; no restarts
// On: process
func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	empty := []string{"PATH=" + dir}
	for _, tc := range []struct {
		name string
		l    Launch
		want string
	}{
		{"not on PATH", Launch{}, `start "claude": not found on PATH`},
		{"what to do", Launch{}, "install Claude Code"},
		{"missing", Launch{Path: "/no/such/claude"}, `start "/no/such/claude": no such file`},
		{"not executable", Launch{Path: file("plain", "x", 0o600)}, "chmod +x"},
		{"on PATH, not executable", Launch{Path: "plain"}, "found but not usable"},
		{"a directory", Launch{Path: dir}, "is a directory"},
		{"not a program", Launch{Path: file("junk", "junk", 0o700)}, "first line like #!/bin/sh"},
		{"no interpreter", Launch{Path: file("script", "#!/no/such/shell\n", 0o700)}, "not the interpreter"},
		{"no cwd", Launch{Path: self(), Dir: filepath.Join(dir, "gone")}, "does not exist; create it, or correct cwd"},
		{"cwd is a file", Launch{Path: self(), Dir: filepath.Join(dir, "plain")}, "is not a directory"},
		{"no marker", Launch{Path: self(), Marker: "-"}, "no marker"},
		{"bad flag", Launch{Path: self(), MaxTurns: -1}, "max_turns"},
		{"bad env", Launch{Path: self(), Env: map[string]string{"": ""}}, "not a name"},
		{"too large", Launch{Path: self(), Env: bigEnv()}, "too large together"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			switch tc.l.Marker {
			case "":
				tc.l.Marker = marker(t)
			case "-":
				tc.l.Marker = ""
			}
			_, err := Start(tc.l, Options{Parent: empty})
			var se *StartError
			require.ErrorAs(t, err, &se)
			assert.Equal(t, ClassRequest, se.Class)
			assert.True(t, se.Class.Permanent())
			assert.Contains(t, err.Error(), tc.want)
		})
	}
	_, err := Start(Launch{Marker: "m"}, Options{Parent: empty})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func bigEnv() map[string]string {
	env := map[string]string{}
	for i := range 80 {
		env[fmt.Sprintf("BIG%d", i)] = strings.Repeat("x", 100<<10)
	}
	return env
}

func TestBypassAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it is about what root may not do")
	}
	l := launch(t, "echo")
	l.PermissionMode = "bypassPermissions"
	_, err := Start(l, Options{})
	require.ErrorContains(t, err, "refuses bypassPermissions as root")
	l.Env["IS_SANDBOX"] = "1"
	begin(t, l, Options{})
}

func TestTheChildGetsItsEnvironmentAndNothingElse(t *testing.T) {
	l := launch(t, "env")
	l.APIKey, l.Dir = "sk-test-key-12345", t.TempDir()
	p := begin(t, l, Options{Parent: []string{"PATH=/bin", "CANARY=x", "CLAUDECODE=1", "LD_PRELOAD=/x.so"}})
	p.CloseStdin()
	out, err := io.ReadAll(p.Stdout())
	require.NoError(t, err)
	want, err := l.Environ([]string{"PATH=/bin"})
	require.NoError(t, err)
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(got)
	slices.Sort(want)
	assert.Equal(t, want, got)
}

func TestVersion(t *testing.T) {
	// The role travels as an argument, since the environment of Version is minimal: a script turns it into one.
	script := filepath.Join(t.TempDir(), "claude")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\nexec env "+roleVariable+"=version:\"$1\" "+goraceOff+" '"+self()+"'\n"), 0o700))
	for _, tc := range []struct{ role, want string }{
		{"silent", "--version prints nothing"},
		{"garbage", `--version prints no version but "hello, I am a shell"`},
		{"endless", "--version prints more than"},
		{"fails", "unknown option '--version'"},
	} {
		t.Run(tc.role, func(t *testing.T) {
			_, err := Version(t.Context(), script, []string{tc.role})
			var se *StartError
			require.ErrorAs(t, err, &se)
			assert.Equal(t, ClassRequest, se.Class)
			assert.Contains(t, err.Error(), tc.want)
			assert.Contains(t, err.Error(), "is this the Claude Code CLI?")
		})
	}
	v, err := Version(t.Context(), script, []string{"good"})
	require.NoError(t, err)
	assert.Equal(t, "2.1.330", v)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = Version(ctx, script, []string{"hangs"})
	require.ErrorIs(t, err, context.DeadlineExceeded)

	_, err = Version(t.Context(), "/no/such/claude", nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestDiagnose(t *testing.T) {
	at := time.Now()
	for _, tc := range []struct {
		stderr string
		code   int
		class  ExitClass
		want   string
	}{
		{"error: unknown option '--wat'", 1, ClassRequest, "correct extra_args"},
		{"error: option '--max-turns <turns>' argument 'abc' is invalid. must be a number", 1, ClassRequest, "correct the option's value"},
		{"Error: Invalid session ID. Must be a valid UUID.", 1, ClassRequest, "must be a UUID"},
		{"Error: Session ID 550e8400-e29b-41d4-a716-446655440001 is already in use.", 1, ClassSessionInUse, "resume it"},
		{"No conversation found with session ID: 550e8400-e29b-41d4-a716-446655440000", 1, ClassNoConversation, "same id"},
		{`Error: --resume requires a valid session ID or session title when used with --print. Provided value "nope" is not a UUID and does not match any session title.`, 1, ClassNoConversation, ""},
		{"Error: --session-id with --continue or --resume also needs --fork-session.", 1, ClassRequest, ""},
		{"Error: Settings file not found: /w/{bad", 1, ClassRequest, "broken inline JSON"},
		{"Error processing --setting-sources: Invalid setting source: bogus. Valid options are: user, project, local", 1, ClassRequest, ""},
		{"--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons", 1, ClassRequest, "IS_SANDBOX"},
		{"\nError: sandbox required but unavailable: sandbox is enabled but dependencies are missing: bubblewrap (bwrap) not installed\n  Refusing to start without a working sandbox (see sandbox.failIfUnavailable).\n", 1, ClassRequest, "apt install bubblewrap"},
		{"Error: Invalid MCP configuration:\nMCP config file not found: /w/{bad", 1, ClassRequest, "MCP"},
		{"The current directory no longer exists (it was deleted or moved). Start Claude Code from an existing directory.", 1, ClassRequest, "cwd"},
		{"Configuration error in /h/.claude.json: JSON Parse error: Expected '}'\nNo backup of this file was found.", 1, ClassRequest, "move it aside"},
		{"Error parsing streaming input line (type=unknown, 7 chars): SyntaxError", 1, ClassProtocol, ""},
		{"Error: Expected message role 'user', got 'assistant'", 1, ClassProtocol, ""},
		{"Invalid API key · Please run /login", 1, ClassAuth, "check the API key"},
		{"RangeError: Out of memory", 1, ClassMemory, ""},
		{"something else", 1, ClassCrashed, `"something else"`},
		{"", 1, ClassCrashed, "nothing on stderr"},
		{"", 0, ClassClean, "exit code 0"},
		{"sh: claude: not found", 127, ClassRequest, "cli.path"},
		{"", 143, ClassKilled, "signal 15"},
		{"", 137, ClassKilled, ""},
	} {
		var lines []string
		if tc.stderr != "" {
			lines = strings.Split(tc.stderr, "\n")
		}
		e := Exit{Code: tc.code, At: at, Stderr: lines}
		assert.Equal(t, tc.class, e.Class(), tc.stderr)
		assert.Contains(t, Diagnose(e), tc.want)
		assert.NotContains(t, Diagnose(e), "\n")
	}
	assert.Equal(t, "running", Diagnose(Exit{}))
	assert.Equal(t, ClassKilled, Exit{Code: -1, Signal: 9, At: at}.Class())
	assert.Equal(t, ClassMemory, Exit{Code: -1, Signal: 9, At: at, OutOfMemory: true}.Class())
	assert.Equal(t, ClassStopped, Exit{Code: 143, At: at, Stopped: true}.Class())
	assert.Equal(t, ClassStopped, Exit{Code: 1, At: at, Stopped: true}.Class(), "the last result was an error")
	assert.Equal(t, ClassCrashed, Exit{Code: -1, Signal: 11, At: at}.Class())
}

func TestStderrLog(t *testing.T) {
	secret := "sk-ant-0123456789abcdef"
	o := Options{StderrLines: 3, StderrBytes: 60, StderrLineBytes: 20}.filled()
	read := func(text string) []string {
		s := newStderrLog(o, []string{secret})
		s.read(io.MultiReader(strings.NewReader(text[:len(text)/2]), strings.NewReader(text[len(text)/2:])))
		return s.last()
	}
	assert.Equal(t, []string{"b", "c", "d"}, read("a\nb\n\n  \nc\r\nd"))
	assert.Equal(t, []string{strings.Repeat("x", 20) + "…", "y"}, read(strings.Repeat("x", 1000)+"\ny\n"))
	assert.Equal(t, []string{strings.Repeat("ä", 10) + "…"}, read(strings.Repeat("ä", 1000)))
	assert.Equal(t, []string{"\uFFFDx"}, read("\xff\xfex\n"))
	assert.Equal(t, []string{"key [redacted]."}, read("key "+secret+".\n"))
	for pad := range 60 {
		for _, l := range read(strings.Repeat("p", pad) + secret + strings.Repeat("q", 50)) {
			for n := 4; n < len(secret); n++ {
				assert.NotContains(t, l, secret[:n], "pad %d", pad)
			}
		}
	}
}

func TestAWriterNeedsToBeToldWhy(t *testing.T) {
	p := begin(t, launch(t, "idle"), Options{})
	p.CloseStdin()
	_, err := p.Stdin().Write([]byte("x"))
	require.ErrorIs(t, err, os.ErrClosed)
	assert.False(t, errors.Is(err, ErrExited))
}

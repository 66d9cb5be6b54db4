package process

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
)

// cause is one thing that stderr can tell. The texts are those of Claude Code 2.1.330.
type cause struct {
	class ExitClass
	text  *regexp.Regexp
	hint  string
}

// causes are in order: the first that matches a line, from the newest line to the oldest, is taken.
var causes = []cause{
	{ClassSessionInUse, regexp.MustCompile(`(?i)session id \S+ is already in use`),
		"the conversation exists: resume it instead of creating it"},
	{ClassNoConversation, regexp.MustCompile(`(?i)no conversation found with session id|does not match any session title`),
		"there is nothing to resume: start the conversation under the same id"},
	{ClassRequest, regexp.MustCompile(`(?i)^error: unknown option`),
		"the CLI does not know this flag: correct extra_args, or update the CLI (see understudy doctor)"},
	{ClassRequest, regexp.MustCompile(`(?i)^error: option .* (argument .* is invalid|argument missing)`),
		"correct the option's value"},
	{ClassRequest, regexp.MustCompile(`(?i)invalid session id`), "the session id must be a UUID"},
	{ClassRequest, regexp.MustCompile(`(?i)needs --fork-session`), "a session is either created or resumed"},
	{ClassRequest, regexp.MustCompile(`(?i)settings file not found`),
		"check the settings: broken inline JSON is reported as a missing file as well"},
	{ClassRequest, regexp.MustCompile(`(?i)error processing --setting`), "correct setting_sources or settings"},
	{ClassRequest, regexp.MustCompile(`(?i)cannot be used with root|dangerously-skip-permissions cannot`),
		"bypassPermissions is refused as root: run as another user, or set IS_SANDBOX=1 in a throw-away container"},
	{ClassRequest, regexp.MustCompile(`(?i)sandbox required but unavailable|bubblewrap is required|refusing to start without a working sandbox`),
		"install what the sandbox needs (apt install bubblewrap socat), or switch the sandbox off"},
	{ClassRequest, regexp.MustCompile(`(?i)invalid mcp configuration|mcp config file not found`), "correct the MCP configuration"},
	{ClassRequest, regexp.MustCompile(`(?i)--json-schema is not valid json`), "correct the JSON schema"},
	{ClassRequest, regexp.MustCompile(`(?i)current directory no longer exists`), "create the working directory again, or correct cwd"},
	{ClassRequest, regexp.MustCompile(`(?i)configuration (error in|file at) .*`), "repair the CLI's configuration file or move it aside"},
	{ClassRequest, regexp.MustCompile(`(?i)temp directory .* is owned by`), "set CLAUDE_CODE_TMPDIR to a directory of this user"},
	{ClassRequest, regexp.MustCompile(`(?i)requires --verbose|only works with --print|cannot be used (with|together)|cannot both be`),
		"these options exclude or need each other"},
	{ClassRequest, regexp.MustCompile(`(?i)(version .* is (no longer supported|too old)|needs? an update|update .* to (continue|use))`),
		"update the CLI"},
	{ClassAuth, regexp.MustCompile(`(?i)invalid (x-)?api[ -]?key|authentication_error|not logged in|please run /login|` +
		`oauth (token|session).*(expired|revoked|invalid)|missing api key|no api key|api key (is )?(missing|required|disabled)|unauthorized`),
		"check the API key"},
	{ClassProtocol, regexp.MustCompile(`(?i)error parsing streaming input|--await-initialize requires the initialize|expected message (role|type)|error: expected .*(control|message)`),
		"the runtime sent something the CLI can't read; report this"},
	{ClassMemory, regexp.MustCompile(`(?i)out of memory|outofmemory|cannot allocate memory|heap limit|std::bad_alloc`),
		"give the session more memory or run fewer sessions"},
	{ClassCrashed, regexp.MustCompile(`(?i)^panic\b|segmentation fault|bun has crashed|unhandled (rejection|exception)|uncaught`), ""},
}

// Class tells what kind of end it was.
func (e Exit) Class() ExitClass { class, _ := e.explain(); return class }

// Diagnose describes the end in one line: status, the line of stderr that tells the cause, and what to do.
func Diagnose(e Exit) string {
	if e.At.IsZero() {
		return "running"
	}
	_, text := e.explain()
	return text
}

func (e Exit) explain() (ExitClass, string) {
	status := e.String()
	line := func(c cause, l string) string {
		s := fmt.Sprintf("%s: %q", status, cut(strings.TrimSpace(l), 300))
		if c.hint != "" {
			s += "; " + c.hint
		}
		return s
	}
	switch {
	case e.At.IsZero():
		return ClassCrashed, status
	case e.Stopped && (e.Code == 0 || e.Code == 128+int(syscall.SIGTERM) || e.Signal == syscall.SIGTERM || e.Signal == syscall.SIGKILL):
		return ClassStopped, status + " after a stop"
	case e.OutOfMemory:
		return ClassMemory, status + ": killed by the kernel for lack of memory; give the session more memory or run fewer sessions"
	case e.Signal == syscall.SIGKILL:
		return ClassKilled, status + ": somebody killed it, possibly the kernel for lack of memory (see dmesg)"
	case e.Signal == syscall.SIGTERM || e.Signal == syscall.SIGINT || e.Signal == syscall.SIGHUP:
		return ClassKilled, status + ": somebody ended it"
	case e.Signal == 0 && e.Code == 0:
		return ClassClean, status
	case e.Code == 128+int(syscall.SIGTERM), e.Code == 128+int(syscall.SIGHUP), e.Code == 128+int(syscall.SIGINT):
		return ClassKilled, fmt.Sprintf("%s: somebody sent it signal %d", status, e.Code-128)
	case e.Code == 128+int(syscall.SIGKILL):
		return ClassKilled, status + ": a program it runs in was killed, possibly by the kernel for lack of memory"
	}
	// The last thing said is nearest to the cause. Stack traces and hook dumps come before it.
	for i := len(e.Stderr) - 1; i >= 0; i-- {
		for _, c := range causes {
			if c.text.MatchString(strings.TrimSpace(e.Stderr[i])) {
				return c.class, line(c, e.Stderr[i])
			}
		}
	}
	switch {
	case e.Code == 127:
		return ClassRequest, line(cause{hint: "a command was not found: check cli.path"}, last(e.Stderr))
	case e.Code == 126:
		return ClassRequest, line(cause{hint: "a command could not be executed: check its permissions"}, last(e.Stderr))
	case e.Stopped:
		return ClassStopped, status + " after a stop"
	case len(e.Stderr) == 0:
		return ClassCrashed, status + ", and nothing on stderr"
	}
	return ClassCrashed, line(cause{}, last(e.Stderr))
}

func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

package sessiontest

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// shell is a command that runs, in a session of its own as with the CLI: killing the CLI's process group does not reach it.
type shell struct {
	cmd    *exec.Cmd
	output *os.File // a file, not a pipe: what outlives the shell holds up nobody
	ended  bool
	err    error
}

// kill ends the shell's process group. Whatever left the group stays.
func (sh *shell) kill() {
	_ = syscall.Kill(-sh.cmd.Process.Pid, syscall.SIGKILL) // it may be gone already
}

// outputLimit is how much of a command's output the CLI keeps.
const outputLimit = 30_000

func (sh *shell) text() string {
	buffer := make([]byte, outputLimit)
	n, _ := sh.output.ReadAt(buffer, 0) // io.EOF for what is shorter
	return strings.TrimRight(string(buffer[:n]), "\n")
}

// startShell runs a command. then is called by the owner when it has ended.
func (s *simulation) startShell(command string, then func(*shell)) (*shell, error) {
	output, err := os.CreateTemp("", "simulated-tool-*.output")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(output.Name()) // it lives as long as it is open
	sh := &shell{cmd: exec.Command("/bin/bash", "-c", command), output: output}
	sh.cmd.Dir, sh.cmd.Stdout, sh.cmd.Stderr = s.dir, output, output
	sh.cmd.Env = s.toolEnviron()
	sh.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := sh.cmd.Start(); err != nil {
		return nil, errors.Join(err, output.Close())
	}
	s.shells[sh] = true
	s.waiting.Go(func() { // ends with the command
		err := sh.cmd.Wait()
		told := s.post(func() {
			sh.ended, sh.err = true, err
			delete(s.shells, sh)
			then(sh)
			_ = output.Close() // it was read
		})
		if !told {
			_ = output.Close() // nobody will read it
		}
	})
	return sh, nil
}

// stopShells ends what still runs when the process ends in order.
func (s *simulation) stopShells() {
	for sh := range s.shells {
		sh.kill()
	}
}

// toolEnviron is this process's environment with the CLI's additions. With a provider that the host manages, tools do not
// see the key.
func (s *simulation) toolEnviron() []string {
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == marker || name == "ANTHROPIC_API_KEY" && s.env("CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST") == "1"
	})
	return append(env, "CLAUDECODE=1", "CLAUDE_CODE_SESSION_ID="+s.transcript.sessionID, "CLAUDE_PID="+strconv.Itoa(os.Getpid()))
}

func (s *simulation) runBash(use *toolUse) toolOutcome {
	var in struct {
		Command     string `json:"command"`
		Background  bool   `json:"run_in_background"`
		Description string `json:"description"`
	}
	if err := json.Unmarshal(use.input, &in); err != nil {
		return toolFailure(err.Error(), nil)
	}
	result := frame{"stdout": "", "stderr": "", "interrupted": false, "isImage": false, "noOutputExpected": false}
	if in.Background {
		return s.backgroundBash(use, in.Command, in.Description, result)
	}
	var text string
	sh, err := s.startShell(in.Command, func(sh *shell) { text = sh.text() })
	if err != nil {
		return toolFailure(err.Error(), nil)
	}
	s.turn.shell = sh
	going := s.await(func() bool { return sh.ended })
	s.turn.shell = nil
	if !going {
		return interruptedOutcome(stoppedRunning)
	}
	if sh.err != nil {
		return toolFailure(strings.TrimRight("Exit code "+exitCode(sh.err)+"\n"+text, "\n"), nil)
	}
	result["stdout"] = text
	if text == "" {
		text = "(Bash completed with no output)"
	}
	return toolOutcome{content: text, structured: result}
}

// exitCode is the code as a shell tells it: 128 and the number for a signal.
func exitCode(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "1"
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return strconv.Itoa(128 + int(status.Signal()))
	}
	return strconv.Itoa(exit.ExitCode())
}

package process

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// TrySandbox runs a program in the namespaces that the CLI's sandbox needs, with a /proc of its own or without. It takes
// some ten milliseconds.
func TrySandbox(bwrap string, proc bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	args := []string{"--die-with-parent", "--new-session", "--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--dev", "/dev"}
	if proc {
		args = append(args, "--proc", "/proc")
	}
	cmd := exec.CommandContext(ctx, bwrap, append(args, "--", "/bin/sh", "-c", ":")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &out, []string{}
	if err := cmd.Run(); err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
		if said == "" {
			said = err.Error()
		}
		return fmt.Errorf("%w: %s", errNoBubblewrap, cut(said, 200))
	}
	return nil
}

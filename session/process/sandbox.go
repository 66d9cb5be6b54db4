package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// checkSandbox says why the CLI would find no sandbox, if one is asked for that must be there. The CLI itself looks too, some
// hundred milliseconds later, and says less.
func (l Launch) checkSandbox(env []string) error {
	merged, err := l.mergedSettings()
	if err != nil {
		return err
	}
	box, _ := merged["sandbox"].(map[string]any)
	if box["enabled"] != true || box["failIfUnavailable"] != true {
		return nil
	}
	if _, elsewhere := box["container"]; elsewhere {
		return nil // the host's tools say nothing of it
	}
	if runtime.GOOS != "linux" {
		return nil // macOS has one built in; elsewhere the CLI says that there is none
	}
	path, _ := lookup(env, "PATH")
	var missing []string
	for _, tool := range []struct{ name, pkg string }{{"bwrap", "bubblewrap"}, {"socat", "socat"}} {
		if onPath(tool.name, path) == "" {
			missing = append(missing, tool.pkg)
		}
	}
	if len(missing) > 0 {
		return &StartError{
			Class: ClassRequest, Path: l.program(), Dir: l.Dir,
			Err:  fmt.Errorf("sandbox: it is asked for, and cannot be had: %s not found on the PATH of the session (%q)", strings.Join(missing, " and "), path),
			Hint: "apt-get install " + strings.Join(missing, " ") + " (or dnf, apk, …), or set sandbox.failIfUnavailable: false to run without when there is none",
		}
	}
	if err := TrySandbox(onPath("bwrap", path), box["enableWeakerNestedSandbox"] != true); err != nil {
		return &StartError{
			Class: ClassRequest, Path: l.program(), Dir: l.Dir, Err: fmt.Errorf("sandbox: it is asked for, and cannot be had: %w", err),
			Hint: "allow unprivileged user namespaces to this user (`understudy doctor` says what forbids them); in a container, unmask /proc or set sandbox.enableWeakerNestedSandbox: true",
		}
	}
	return nil
}

func onPath(name, path string) string {
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, name); filepath.IsAbs(dir) && executable(file) == nil {
			return file
		}
	}
	return ""
}

var errNoBubblewrap = errors.New("bubblewrap does not work here")

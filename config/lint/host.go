package lint

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/understudy-run/understudy/session/process"
)

// maxRead is how much of a file of a repository is looked at.
const maxRead = 1 << 20

// Here is the machine that this program runs on.
func Here() Host {
	home, _ := os.UserHomeDir() // none is nothing to compare with
	return Host{
		UID: os.Geteuid(), Container: inContainer(), Home: home, Environ: os.Environ(),
		Layers: process.Inspect,
		Program: func(name string) bool {
			if strings.Contains(name, "/") {
				info, err := os.Stat(name)
				return err == nil && !info.IsDir() && info.Mode().Perm()&0o111 != 0
			}
			return slices.ContainsFunc(filepath.SplitList(os.Getenv("PATH")), func(dir string) bool {
				info, err := os.Stat(filepath.Join(dir, name))
				return filepath.IsAbs(dir) && err == nil && !info.IsDir() && info.Mode().Perm()&0o111 != 0
			})
		},
		Mode: func(path string) (os.FileMode, int, bool) {
			info, err := os.Stat(path)
			if err != nil {
				return 0, 0, false
			}
			uid := -1
			if sys, ok := info.Sys().(*syscall.Stat_t); ok {
				uid = int(sys.Uid)
			}
			return info.Mode().Perm(), uid, true
		},
		Resolve: filepath.EvalSymlinks,
		ReadFile: func(path string) ([]byte, error) {
			info, err := os.Stat(path)
			if err != nil {
				return nil, err
			}
			if !info.Mode().IsRegular() { // a pipe would be waited for
				return nil, errors.New("not a regular file")
			}
			f, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return io.ReadAll(io.LimitReader(f, maxRead))
		},
	}
}

// secretNames are the variables of this program that look like secrets, for a message.
func (h Host) secretNames() string {
	var names []string
	for _, kv := range h.Environ {
		if name, _, _ := strings.Cut(kv, "="); process.SecretName(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return ", " + strings.Join(names, ", ") + " among it"
}

// inContainer goes by what container engines leave to be seen.
func inContainer() bool {
	for _, path := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return strings.TrimSpace(os.Getenv("container")) != ""
}

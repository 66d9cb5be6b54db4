package lint

import (
	"os"
	"path/filepath"
	"slices"
)

func directories(l *look) {
	if l.o.CWD == "" {
		l.at("cwd", "no directory: it is the one in which the daemon was started")
	}
	broad := []string{"/", "/etc", "/tmp", "/var", "/usr", "/home", "/root", "/opt", "/srv", "/proc", "/sys", "/dev", "/run", l.host.Home}
	check := func(key, dir string) {
		real := dir
		if l.host.Resolve != nil {
			if r, err := l.host.Resolve(dir); err == nil {
				real = r
			}
		}
		switch {
		case dir != "" && (slices.Contains(broad, filepath.Clean(dir)) || slices.Contains(broad, real)):
			l.at(key, "%s is no directory for an agent", dir)
		case l.host.Home != "" && real != "" && contains(real, filepath.Join(l.host.Home, ".ssh")):
			l.at(key, "%s has the .ssh of this user below it", dir)
		case l.host.Mode != nil && dir != "":
			if _, _, ok := l.host.Mode(filepath.Join(real, ".ssh")); ok {
				l.at(key, "%s has a .ssh in it", dir)
			}
		}
		if real != filepath.Clean(dir) && dir != "" && len(l.o.Roots) == 0 {
			l.milder(Warning, key, "%s is a link to %s, and roots do not say that it may be", dir, real)
		}
	}
	check("cwd", l.o.CWD)
	for _, dir := range l.o.AddDir {
		check("add_dir", dir)
	}
}

// contains reports whether a path is dir or below it.
func contains(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

func sensitive(l *look) {
	if l.o.Sensitive && !l.o.NoSessionPersistence {
		l.at("no_session_persistence", "the session is sensitive, and its conversation is kept")
	}
}

func confinement(l *look) {
	if l.o.ConfineFiles != nil && !*l.o.ConfineFiles {
		l.at("confine_files", "file tools may leave the working directories")
	}
}

func filePermissions(l *look) {
	if l.host.Mode == nil {
		return
	}
	check := func(key, path string, bits os.FileMode) {
		if path == "" {
			return
		}
		perm, _, ok := l.host.Mode(path)
		if ok && perm&bits != 0 {
			l.at(key, "%s is open to others (%04o)", path, perm)
		}
	}
	others := os.FileMode(0o022)
	for key := range l.settings() {
		if key != "permissions" && key != "sandbox" {
			others = 0o077 // it may have secrets in it
		}
	}
	check("settings", l.o.Settings.Path, others)
	check("mcp_config", l.o.MCPConfig, 0o077)
	check("api_key_file", l.o.APIKeyFile, 0o077)
	if len(l.all) > 0 && l.owner.Name == l.all[0].Name {
		for path, bits := range map[string]os.FileMode{l.cfg.DataDir: 0o077, l.cfg.Audit.Dir: 0o077, l.cfg.Path: 0o022, l.cfg.Debug.TokenFile: 0o077} {
			if perm, _, ok := l.host.Mode(path); ok && perm&bits != 0 {
				l.elsewhere(path, path+" is open to others")
			}
		}
	}
}

func sharedHome(l *look) {
	if is(l.o.IsolateHome) || l.o.IsolateHome == nil && l.o.NoSessionPersistence || l.owner.Kind == "template" {
		return
	}
	for _, other := range l.all {
		if other.Name != l.owner.Name && other.Kind != "template" && other.Options.Env["HOME"] == l.o.Env["HOME"] {
			l.at("isolate_home", "it has the same HOME as %s", other.Name)
			return
		}
	}
}

func sharedDirectory(l *look) {
	if l.owner.Kind == "template" {
		return
	}
	mine := l.o.Directories(l.owner.Name)
	if pool, ok := l.cfg.Pool(l.owner.Name); ok && l.owner.Kind == "pool" && max(pool.Min, pool.Max) > 1 {
		if other := l.o.Directories(l.owner.Name + "-2"); mine.Shares(other) {
			l.at("cwd", "the sessions of the pool %s may all write in one directory", l.owner.Name)
		}
	}
	for _, other := range l.all {
		if other.Kind == l.owner.Kind && other.Name == l.owner.Name {
			return // the later of two says so
		}
		if other.Kind != "template" && mine.Shares(other.Options.Directories(other.Name)) {
			l.at("cwd", "it may write in the directory in which %s may write too", other.Name)
			return
		}
	}
}

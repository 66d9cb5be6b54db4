package config

import (
	"path/filepath"
	"strings"
)

// resolve makes a path absolute: ~/ is the home directory, everything else starts from the file's directory.
func (d *decoder) resolve(path string, n *node, name string) (string, bool) {
	switch {
	case name == "~" || strings.HasPrefix(name, "~/"):
		home, ok := d.lookup("HOME")
		if !ok || !filepath.IsAbs(home) {
			return "", d.problem(path, n, "~ is the home directory, and HOME does not say where that is", "write the path in full")
		}
		return filepath.Join(home, name[1:]), true
	case strings.HasPrefix(name, "~"):
		return "", d.problem(path, n, "only ~/ is expanded, not another user's home directory", "write the path in full; ./~… is a file of that name")
	case filepath.IsAbs(name):
		return filepath.Clean(name), true
	}
	return filepath.Join(d.dir, name), true
}

// directory resolves a path to a directory that must be there.
func (d *decoder) directory(path string, n *node, name *string) bool {
	out, ok := d.resolve(path, n, *name)
	if !ok {
		return false
	}
	info, err := d.stat(out)
	switch {
	case err != nil:
		return d.problem(path, n, "expected a directory: "+reason(err), d.where(n, *name))
	case !info.IsDir():
		return d.problem(path, n, "expected a directory, this is a file", d.where(n, *name))
	}
	*name = out
	return true
}

// own resolves a path to a directory of ours, which is made when it is needed.
func (d *decoder) own(path string, n *node, name *string) bool {
	if *name == "" {
		return d.problem(path, n, "expected a directory", "")
	}
	out, ok := d.resolve(path, n, *name)
	if !ok {
		return false
	}
	if info, err := d.stat(out); err == nil && !info.IsDir() {
		return d.problem(path, n, "expected a directory, this is a file", d.where(n, *name))
	}
	*name = out
	return true
}

// regularFile resolves a path to a file that must be there.
func (d *decoder) regularFile(path string, n *node, name *string) bool {
	out, ok := d.resolve(path, n, *name)
	if !ok {
		return false
	}
	info, err := d.stat(out)
	switch {
	case err != nil:
		hint := d.where(n, *name)
		if strings.ContainsAny(*name, "{}\n") && n.text == *name {
			hint = "text that begins with { would be taken for JSON"
		}
		return d.problem(path, n, "expected a file: "+reason(err), hint)
	case info.IsDir():
		return d.problem(path, n, "expected a file, this is a directory", d.where(n, *name))
	case !info.Mode().IsRegular():
		return d.problem(path, n, "expected a regular file", d.where(n, *name))
	}
	*name = out
	return true
}

// where tells what a relative path starts from, which is what most of these mistakes are about.
func (d *decoder) where(n *node, name string) string {
	if n.text != name || filepath.IsAbs(name) || strings.HasPrefix(name, "~") {
		return ""
	}
	return "relative paths start from the directory of the configuration file, " + d.dir
}

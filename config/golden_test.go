package config

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// machine is what a golden file says about the machine: its variables and, on lines of their own, its
// directories (with a slash at the end) and files.
func machine(env, files string) surroundings {
	variables := map[string]string{}
	for line := range strings.Lines(env) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			variables[name] = value
		}
	}
	disk := fstest.MapFS{"etc": {Mode: fs.ModeDir | 0o755}}
	for line := range strings.Lines(files) {
		line = strings.TrimSpace(line)
		name, isDir := strings.CutSuffix(strings.TrimPrefix(line, "/"), "/")
		mode := fs.FileMode(0o644)
		if isDir {
			mode = fs.ModeDir | 0o755
		}
		disk[name] = &fstest.MapFile{Mode: mode}
	}
	return surroundings{
		lookup: func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
		stat:   func(name string) (fs.FileInfo, error) { return disk.Stat(strings.TrimPrefix(name, "/")) },
	}
}

// TestGolden reads every file of testdata/config: a comment that says what it pins down, the configuration,
// what is known of the machine, and what is reported.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/config/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			require.NoError(t, err)
			sections := map[string]*txtar.File{}
			for i := range archive.Files {
				sections[archive.Files[i].Name] = &archive.Files[i]
			}
			section := func(name string) string {
				if f := sections[name]; f != nil {
					return string(f.Data)
				}
				return ""
			}
			_, err = parseFile("/etc/understudy.yaml", []byte(section("understudy.yaml")), machine(section("env"), section("files")))
			got := map[string]string{"errors": "", "render": ""}
			if err != nil {
				ds := err.(Diagnostics)
				got["errors"], got["render"] = ds.Error()+"\n", ds.Render(false)
				for _, d := range ds {
					assert.Positive(t, d.Line, "%v", d)
					assert.Positive(t, d.Col, "%v", d)
				}
			}
			for name, text := range got {
				f := sections[name]
				if f == nil {
					continue
				}
				if *update {
					f.Data = []byte(text)
					continue
				}
				assert.Equal(t, string(f.Data), text)
			}
			if *update {
				require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
			}
		})
	}
}

// A person who wrote ten mistakes wants to hear of ten.
func TestTenMistakes(t *testing.T) {
	archive, err := txtar.ParseFile("../testdata/config/ten-mistakes.txtar")
	require.NoError(t, err)
	_, err = parseFile("/etc/understudy.yaml", archive.Files[0].Data, machine("", ""))
	assert.Len(t, err, 10)
}

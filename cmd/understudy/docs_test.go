package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/config/lint"
)

var (
	block   = regexp.MustCompile("(?ms)^```(yaml|sh)\n(.*?)^```$")
	refused = regexp.MustCompile(`# refused: (.*)`)
	finds   = regexp.MustCompile(`# finds: ([SL]\d\d)`)
	exits   = regexp.MustCompile(`# exits (\d)`)
)

// TestSecureDeploymentPage runs every block of the page: configurations are read, or refused as they say, commands are executed on
// the configuration before them.
func TestSecureDeploymentPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/secure-deployment.md")
	require.NoError(t, err)
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"workspace", "shared"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	for _, name := range []string{"ANTHROPIC_API_KEY", "UNDERSTUDY_TOKEN"} {
		t.Setenv(name, "made-up-0123456789")
	}
	blocks := block.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(blocks), 12)
	for i, b := range blocks {
		t.Run(fmt.Sprintf("%02d %s", i, b[1]), func(t *testing.T) {
			if b[1] == "sh" {
				for line := range strings.SplitSeq(strings.TrimSpace(b[2]), "\n") {
					var out, errs bytes.Buffer
					command, _, _ := strings.Cut(line, "#")
					code := run(t.Context(), strings.Fields(command)[1:], strings.NewReader(""), &out, &errs)
					assert.NotEmpty(t, out.String(), line)
					if want := exits.FindStringSubmatch(line); want != nil {
						assert.Equal(t, want[1], fmt.Sprint(code), "%s\n%s", line, errs.String())
					}
				}
				return
			}
			path := filepath.Join(dir, "understudy.yaml")
			require.NoError(t, os.WriteFile(path, []byte(b[2]), 0o600))
			cfg, err := config.Load(path, os.LookupEnv)
			if want := refused.FindStringSubmatch(b[2]); want != nil {
				require.ErrorContains(t, err, want[1])
				return
			}
			require.NoError(t, err)
			found := lint.Check(cfg, lint.Here())
			for _, want := range finds.FindAllStringSubmatch(b[2], -1) {
				assert.Contains(t, fmt.Sprint(found), want[1])
			}
		})
	}
}

// TestTheGuidesPointsAreRules compares the page's table of the guide's points with the checklist, and with the options that there are.
func TestTheGuidesPointsAreRules(t *testing.T) {
	page, err := os.ReadFile("../../docs/secure-deployment.md")
	require.NoError(t, err)
	points := regexp.MustCompile(`(?m)^\| .* \| (.*) \| (S\d\d) \|$`).FindAllStringSubmatch(string(page), -1)
	require.Len(t, points, 9)
	schema, err := config.Schema()
	require.NoError(t, err)
	rules := lint.Rules()
	for i, point := range points {
		assert.Equal(t, rules[i].ID, point[2])
		for _, name := range regexp.MustCompile("`([a-z_]+)").FindAllStringSubmatch(point[1], -1) {
			assert.Contains(t, string(schema), `"`+name[1]+`"`)
		}
	}
}

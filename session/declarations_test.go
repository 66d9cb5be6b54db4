package session_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The official SDK of the CLI version that this program is tested with. Its declarations name everything that there is on the wire.
const (
	sdkPackage = "@anthropic-ai/claude-agent-sdk@0.3.330"
	sdkSum     = "ad7946cc7112e3178f5290de97f77716ddcf7b671655e9ff00d30c7c2a5a1184"
)

// sdkDeclarations fetches the declarations of the official SDK, into .cache at the module's root, once. Without npm or network
// the test is skipped: the names in testdata are compared with this program all the same.
func sdkDeclarations(t *testing.T) string {
	t.Helper()
	file := filepath.Join("..", ".cache", "sdk.d.ts")
	if data, err := os.ReadFile(file); err == nil && sumOf(data) == sdkSum {
		return string(data)
	}
	data, err := fetchDeclarations(t)
	if err != nil {
		t.Skipf("skipped: the declarations of %s are not here: %v", sdkPackage, err)
	}
	require.Equal(t, sdkSum, sumOf(data), "%s is not what it was", sdkPackage)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	part := fmt.Sprintf("%s.%d", file, os.Getpid())
	require.NoError(t, os.WriteFile(part, data, 0o644))
	require.NoError(t, os.Rename(part, file))
	return string(data)
}

func sumOf(data []byte) string { sum := sha256.Sum256(data); return hex.EncodeToString(sum[:]) }

func fetchDeclarations(t *testing.T) ([]byte, error) {
	cmd := exec.CommandContext(t.Context(), "npm", "pack", "--silent", "--fetch-retries=2", sdkPackage)
	cmd.Dir = t.TempDir()
	if out, err := cmd.Output(); err != nil {
		return nil, fmt.Errorf("npm pack: %w: %s", err, out)
	}
	packages, err := filepath.Glob(filepath.Join(cmd.Dir, "*.tgz"))
	if err != nil || len(packages) != 1 {
		return nil, fmt.Errorf("npm pack left %q (%w)", packages, err)
	}
	f, err := os.Open(packages[0])
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if err != nil {
			return nil, fmt.Errorf("look for sdk.d.ts: %w", err)
		}
		if header.Name == "package/sdk.d.ts" {
			return io.ReadAll(archive)
		}
	}
}

// declarations are the types of a TypeScript declaration file, by name, as far as their members' names are concerned.
type declarations map[string]string

var declared = regexp.MustCompile(`(?m)^(?:export )?declare (type|interface|const|function) (\w+)`)

// readDeclarations reads declarations. The names of exported functions are under "function", separated by spaces.
func readDeclarations(text string) declarations {
	text = uncommented(text)
	all := declarations{}
	for _, at := range declared.FindAllStringSubmatchIndex(text, -1) {
		kind, name, rest := text[at[2]:at[3]], text[at[4]:at[5]], text[at[1]:]
		switch kind {
		case "type":
			_, rest, _ = strings.Cut(rest, "=")
			all[name] = split(rest, ';')[0]
		case "interface":
			all[name] = split(rest[strings.Index(rest, "{"):], '\n')[0]
		case "const":
			all[name] = split(rest, ';')[0]
		case "function":
			if strings.HasPrefix(text[at[0]:], "export") {
				all["function"] += " " + name
			}
		}
	}
	return all
}

// uncommented is the text without its comments.
func uncommented(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case strings.HasPrefix(rest, "/*"):
			i += strings.Index(rest, "*/") + 1
		case strings.HasPrefix(rest, "//"):
			i += strings.Index(rest, "\n") - 1
		case strings.ContainsRune("'\"`", rune(rest[0])):
			end := 1
			for ; rest[end] != rest[0]; end++ {
				if rest[end] == '\\' {
					end++
				}
			}
			out.WriteString(rest[:end+1])
			i += end
		default:
			out.WriteByte(rest[0])
		}
	}
	return out.String()
}

// split splits at a separator that is inside no brackets and no string. What comes behind a closing bracket too many is left out.
func split(text string, separator byte) (parts []string) {
	depth, from := 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'' || c == '"' || c == '`':
			for i++; text[i] != c; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case strings.IndexByte("({[<", c) >= 0:
			depth++
		case c == '>' && text[i-1] == '=': // an arrow
		case strings.IndexByte(")}]>", c) >= 0:
			if depth--; depth < 0 {
				return append(parts, strings.TrimSpace(text[from:i]))
			}
		case c == separator && depth == 0:
			parts = append(parts, strings.TrimSpace(text[from:i]))
			from = i + 1
		}
	}
	return append(parts, strings.TrimSpace(text[from:]))
}

// shape is one alternative of a type: its members' types by their names.
type shape map[string]string

var member = regexp.MustCompile(`^(?:readonly )?['"]?(\w+)['"]?(\??:|\??\(|\??<)`)

// shapes are the alternatives of a type. What is no object has no members.
func (d declarations) shapes(expression string) (all []shape) {
	expression = strings.TrimSpace(expression)
	if parts := split(expression, '|'); len(parts) > 1 {
		for _, part := range parts {
			if part != "" {
				all = append(all, d.shapes(part)...)
			}
		}
		return all
	}
	if parts := split(expression, '&'); len(parts) > 1 {
		all = []shape{{}}
		for _, part := range parts {
			var products []shape
			for _, left := range all {
				for _, right := range d.shapes(part) {
					product := maps.Clone(left)
					maps.Copy(product, right)
					products = append(products, product)
				}
			}
			all = products
		}
		return all
	}
	switch {
	case strings.HasPrefix(expression, "("):
		return d.shapes(split(expression[1:], 0)[0])
	case strings.HasPrefix(expression, "{"):
		one := shape{}
		for _, line := range split(expression[1:], ';') {
			if at := member.FindStringSubmatchIndex(line); at != nil {
				one[line[at[2]:at[3]]] = strings.TrimSpace(line[at[1]:])
			}
		}
		return []shape{one}
	}
	name, _, _ := strings.Cut(expression, "<")
	name = name[strings.LastIndexByte(name, '.')+1:]
	if below, ok := d[name]; ok {
		return d.shapes(below)
	}
	return []shape{{}}
}

// members are the names of the members of all alternatives.
func (d declarations) members(expression string) []string {
	all := shape{}
	for _, one := range d.shapes(expression) {
		maps.Copy(all, one)
	}
	return slices.Sorted(maps.Keys(all))
}

var literal = regexp.MustCompile(`'([^']*)'`)

// literals are the strings that a type allows.
func (d declarations) literals(expression string) (all []string) {
	if below, ok := d[expression[strings.LastIndexByte(expression, '.')+1:]]; ok {
		expression = below
	}
	for _, found := range literal.FindAllStringSubmatch(expression, -1) {
		all = append(all, found[1])
	}
	return all
}

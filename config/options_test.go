package config

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session"
)

const optionsPage = "../docs/options.md"

// optionsSince is from which version of the CLI an option means something, where that is known to be later than the rest.
var optionsSince = map[string]string{"verbatim_prompts": "2.1.248", "mcp_servers": "2.1.261"}

// samples are values of options that carry names of the user's.
var samples = map[string]string{"env": "{NAME: v}", "inherit_env": "[OTHER]", "extra_args": "{bare: }"}

// TestOptionsPage keeps docs/options.md equal to the code: what an option does is the comment of its field, and how it travels is
// found by setting it and looking at what the CLI would get. -update writes the page's table anew.
func TestOptionsPage(t *testing.T) {
	comments := optionComments(t)
	empty := carried(t, session.Options{})
	var table strings.Builder
	table.WriteString("| option | what it does | how it travels | since CLI | default |\n|---|---|---|---|---|\n")
	for _, key := range SessionKeys() {
		yaml := optionRows[key].yaml
		if other, ok := samples[key]; ok {
			yaml = other
		}
		text := fmt.Sprintf("defaults:\n    %s: %s", key, yaml)
		if with := besideRows[key]; with != "" {
			empty = carried(t, mustOptions(t, "defaults:\n    "+with))
			text += "\n    " + with
		}
		ways := travels(empty, carried(t, mustOptions(t, text)))
		if key == "verbatim_prompts" {
			ways = []string{"prompt `client_composed`"}
		}
		ways = slices.DeleteFunc(ways, func(way string) bool { return way == "env `PWD`" })
		if _, named := samples[key]; named {
			require.Len(t, ways, 1)
			kind, _, _ := strings.Cut(ways[0], " ")
			ways = []string{kind + ", as named"}
		}
		if len(ways) == 0 {
			ways = []string{"stays in this program"}
		}
		empty = carried(t, session.Options{})
		since := optionsSince[key]
		if since == "" {
			since = "2.1.330"
		}
		if strings.HasPrefix(ways[0], "stays") {
			since = "any"
		}
		what, standard := comments[key].split()
		index, _ := fieldOf(optionsType, key)
		if standard == "" {
			standard = "none"
			if optionsType.FieldByIndex(index).Type.Kind() == reflect.Bool {
				standard = "false"
			}
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s |\n", key, what, strings.Join(ways, ", "), since, standard)
	}
	page, err := os.ReadFile(optionsPage)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(page), "<!-- table -->\n")
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, "<!-- end of table -->")
	require.True(t, ok)
	want := before + "<!-- table -->\n" + table.String() + "<!-- end of table -->" + after
	if *update {
		require.NoError(t, os.WriteFile(optionsPage, []byte(want), 0o644))
		return
	}
	assert.Equal(t, want, string(page), "go test ./config -run TestOptionsPage -update writes it anew")
}

func mustOptions(t *testing.T, text string) session.Options {
	t.Helper()
	around := machine("", "/etc/m.json\n/srv/")
	around.stat = func(name string) (os.FileInfo, error) {
		if strings.Contains(name, ".") {
			return os.Stat("options_test.go") // a regular file
		}
		return os.Stat(".")
	}
	c, err := parseFile("/etc/understudy.yaml", []byte("budgets: {team: {limit_usd: 1}, day: {limit_usd: 1}}\n"+text), around)
	require.NoError(t, err, text)
	return c.Defaults
}

// carried is what the CLI would get of the options, by carrier.
func carried(t *testing.T, o session.Options) map[string]string {
	t.Helper()
	s, err := session.New(actor.NewSystem(actor.Options{}), session.Spec{Name: "name", Options: o, Runtime: "r"})
	require.NoError(t, err)
	found := map[string]string{}
	launch := s.Launch()
	launch.SettingsPath = "" // it is not there
	argv, err := launch.Argv()
	require.NoError(t, err)
	for _, arg := range argv {
		name, value, _ := strings.Cut(arg, "=")
		if name == "--session-id" && o.SessionID == "" {
			value = "random"
		}
		found["flag `"+name+"`"] += value + "\n"
	}
	environment, err := launch.Environ([]string{"OTHER=1", "HOME=/h", "PATH=/bin"})
	require.NoError(t, err)
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		found["env `"+name+"`"] = value
	}
	handshake, err := s.Handshake()
	require.NoError(t, err)
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(handshake, &fields))
	for name, value := range fields {
		found["initialize `"+name+"`"] = string(value)
	}
	if launch.Dir != "" {
		found["directory of the process"] = launch.Dir
	}
	return found
}

func travels(before, after map[string]string) []string {
	var ways []string
	for way, value := range after {
		if old, was := before[way]; !was || old != value {
			ways = append(ways, way)
		}
	}
	for way := range before {
		if _, is := after[way]; !is {
			ways = append(ways, "no "+way)
		}
	}
	slices.Sort(ways)
	return ways
}

// comment is the doc comment of an option.
type comment string

// aboutDefault is a sentence that says what it means not to set an option.
var aboutDefault = regexp.MustCompile(`(?:^| )((?:Empty|Zero|nil|0|nil, and the one entry "default"): [^.]*(?:\.[^ ][^.]*)*\.|None by default[^.]*\.|It is needed[^.]*\.)`)

func (c comment) split() (what, standard string) {
	text := strings.ReplaceAll(string(c), "|", `\|`)
	if m := aboutDefault.FindStringSubmatch(text); m != nil {
		_, after, found := strings.Cut(m[1], ": ")
		if found {
			standard = strings.TrimSuffix(after, ".")
		} else {
			standard = "none"
		}
		if found {
			text = strings.Replace(text, m[0], "", 1)
		}
	}
	return strings.TrimSpace(text), standard
}

// optionComments are the doc comments of session.Options by key.
func optionComments(t *testing.T) map[string]comment {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../session/options.go", nil, parser.ParseComments)
	require.NoError(t, err)
	found := map[string]comment{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Options" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			tag, err := strconv.Unquote(f.Tag.Value)
			require.NoError(t, err)
			key, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			if key != "-" {
				require.NotEmpty(t, f.Doc.Text(), "%s has no comment", key)
				text := strings.Join(strings.Fields(f.Doc.Text()), " ")
				text = strings.TrimPrefix(text, f.Names[0].Name+" ")
				found[key] = comment(text)
			}
		}
		return false
	})
	return found
}

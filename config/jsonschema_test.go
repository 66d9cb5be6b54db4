package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// editor checks a file as an editor does, with the schema.
func editor(t *testing.T) func(text string) error {
	t.Helper()
	text, err := Schema()
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("schema.json", document))
	schema, err := compiler.Compile("schema.json")
	require.NoError(t, err)
	return func(text string) error {
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return err
		}
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return err
		}
		return schema.Validate(plain)
	}
}

func TestListsThatMayBeAll(t *testing.T) {
	check := editor(t)
	for key, want := range map[string]string{"skills: all": "", "inherit_env: all": "", "inherit_env: some": "expected a list", "allowed_tools: all": "expected a list",
		"inherit_env: [LD_PRELOAD]": "never inherited", "inherit_env: ['*']": "expected the name of a variable"} {
		text := "defaults:\n  " + key + "\n"
		c, err := Parse("/x/u.yaml", []byte(text), nil)
		if want != "" {
			assert.ErrorContains(t, err, want, key)
			continue
		}
		require.NoError(t, err, key)
		require.NoError(t, check(text), key)
		assert.Equal(t, "all", append(c.Defaults.Skills, c.Defaults.InheritEnv...)[0], key)
	}
}

func TestSchemaTakesWhatLoadTakes(t *testing.T) {
	check := editor(t)
	files, err := filepath.Glob("../testdata/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NoError(t, check(string(text)), file)
	}
	for key, row := range optionRows {
		text := row.yaml
		if beside := besideRows[key]; beside != "" {
			text += "\n    " + beside
		}
		for _, place := range []string{"defaults:\n    %s: %s\n", "sessions:\n  one:\n    %s: %s\n", "templates:\n one:\n    %s: %s\n", "pools:\n one:\n  options:\n    %s: %s\n"} {
			assert.NoError(t, check(fmt.Sprintf(place, key, text)), key)
		}
	}
	for _, good := range []string{
		"sessions: {one: , two: {max_turns: '${env:TURNS:-3}', sandbox: null}}",
		"supervisors: {a: {strategy: rest_for_one, supervisors: {b: {sessions: {c: {}}}}}}",
		"templates: {w: {model: haiku, warm: 2}}",
		"supervisor:\nsessions:\n",
	} {
		assert.NoError(t, check(good), good)
	}
}

func TestSchemaRefusesWhatLoadRefuses(t *testing.T) {
	check := editor(t)
	for _, wrong := range []string{
		"sesions: {}", "sessions: []", "sessions: {one: {modell: haiku}}", "sessions: {one: {max_turns: many}}", "sessions: {one: {max_turns: 1.5}}",
		"sessions: {one: {allowed_tools: Read}}", "sessions: {one: {permission_mode: yolo}}", "sessions: {one: {restart: sometimes}}",
		"sessions: {one: {stall_timeout: 5}}", "sessions: {one: {stall_timeout: 5 minutes}}", "sessions: {'a b': {}}", "sessions: {one: {no_session_persistence: 'yes'}}",
		"supervisor: {strategy: all_for_one}", "supervisors: {a: {sessions: {b: {modell: x}}}}", "sessions: {one: {warm: 2}}", "debug: {port: 1}", "version: one",
	} {
		_, err := Parse("/etc/understudy.yaml", []byte(wrong), nil)
		require.Error(t, err, wrong)
		assert.Error(t, check(wrong), wrong)
	}
}

// TestSchemaKnowsEveryKey: what the decoder knows an editor offers.
func TestSchemaKnowsEveryKey(t *testing.T) {
	text, err := Schema()
	require.NoError(t, err)
	var schema struct {
		Properties map[string]any
		Defs       map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(text, &schema))
	for _, key := range keysOf(configType) {
		assert.Contains(t, schema.Properties, key)
	}
	for _, key := range SessionKeys() {
		assert.Contains(t, schema.Defs["session.Options"].Properties, key)
	}
	assert.False(t, strings.Contains(string(text), "null,\n"), "no definition is empty")
}

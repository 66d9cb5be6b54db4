package lint

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sarif is what SARIF 2.1.0 (OASIS, sarif-schema-2.1.0.json) demands of the objects that we write: which properties are required,
// and their types. No object may have a property that the standard does not know; those that we do not write are left out here.
const sarif = `{
	"$schema": "http://json-schema.org/draft-07/schema#",
	"type": "object", "required": ["version", "runs"], "additionalProperties": false,
	"properties": {
		"$schema": {"type": "string", "format": "uri"},
		"version": {"const": "2.1.0"},
		"runs": {"type": "array", "items": {
			"type": "object", "required": ["tool"], "additionalProperties": false,
			"properties": {
				"tool": {"type": "object", "required": ["driver"], "additionalProperties": false, "properties": {"driver": {"$ref": "#/definitions/component"}}},
				"results": {"type": "array", "items": {"$ref": "#/definitions/result"}}
			}
		}}
	},
	"definitions": {
		"component": {
			"type": "object", "required": ["name"], "additionalProperties": false,
			"properties": {
				"name": {"type": "string"}, "version": {"type": "string"},
				"rules": {"type": "array", "uniqueItems": true, "items": {"$ref": "#/definitions/rule"}}
			}
		},
		"rule": {
			"type": "object", "required": ["id"], "additionalProperties": false,
			"properties": {
				"id": {"type": "string"}, "name": {"type": "string"},
				"shortDescription": {"$ref": "#/definitions/text"}, "fullDescription": {"$ref": "#/definitions/text"}, "help": {"$ref": "#/definitions/text"},
				"defaultConfiguration": {"type": "object", "additionalProperties": false, "properties": {"level": {"$ref": "#/definitions/level"}}}
			}
		},
		"text": {"type": "object", "required": ["text"], "additionalProperties": false, "properties": {"text": {"type": "string", "minLength": 1}}},
		"level": {"enum": ["none", "note", "warning", "error"]},
		"result": {
			"type": "object", "required": ["message"], "additionalProperties": false,
			"properties": {
				"ruleId": {"type": "string"}, "level": {"$ref": "#/definitions/level"}, "message": {"$ref": "#/definitions/text"},
				"locations": {"type": "array", "items": {
					"type": "object", "additionalProperties": false,
					"properties": {"physicalLocation": {
						"type": "object", "required": ["artifactLocation"], "additionalProperties": false,
						"properties": {
							"artifactLocation": {"type": "object", "additionalProperties": false, "properties": {"uri": {"type": "string", "format": "uri-reference"}}},
							"region": {
								"type": "object", "required": ["startLine"], "additionalProperties": false,
								"properties": {"startLine": {"type": "integer", "minimum": 1}, "startColumn": {"type": "integer", "minimum": 1}}
							}
						}
					}}
				}},
				"suppressions": {"type": "array", "uniqueItems": true, "items": {
					"type": "object", "required": ["kind"], "additionalProperties": false,
					"properties": {"kind": {"enum": ["inSource", "external"]}, "justification": {"type": "string"}}
				}}
			}
		}
	}
}`

// TestSARIF holds reports to the standard: findings of every severity, an accepted one, one that is about no line, files with
// unusual names, and none at all.
func TestSARIF(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(sarif))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource("sarif.json", document))
	schema, err := compiler.Compile("sarif.json")
	require.NoError(t, err)
	valid := func(all []Finding) any {
		t.Helper()
		var out bytes.Buffer
		require.NoError(t, WriteSARIF(&out, "v1", all))
		report, err := jsonschema.UnmarshalJSON(&out)
		require.NoError(t, err)
		require.NoError(t, schema.Validate(report))
		return report
	}

	dir := place(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "work", ".claude"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "work", ".claude", "settings.json"), []byte(`{"hooks": {"Stop": []}}`), 0o600))
	text := strings.Replace(fmt.Sprintf(safe, dir), "  worker:\n", "  worker:\n    trust_workspace: true\n    max_turns: 5000\n    disallowed_tools: [\"Write(a)\"]\n", 1) +
		"ignore: [{rule: L41, reason: 'long \"<work>\"'}, {rule: L99, reason: gone}]\n"
	all := check(t, text, host())
	all = append(all, Finding{Rule: "S01", Severity: Info, File: "/srv/a dir/ü%.yaml", Message: "m", Fix: "f"}, Finding{Rule: "S01", Severity: Error, File: "relative.yaml"})
	severities := map[Severity]bool{}
	for _, f := range all {
		severities[f.Severity] = true
	}
	require.Len(t, severities, 3, "%+v", all)
	report := valid(all)
	assert.Len(t, report.(map[string]any)["runs"].([]any)[0].(map[string]any)["results"], len(all))
	valid(nil)

	// The test can fail.
	report.(map[string]any)["runs"].([]any)[0].(map[string]any)["more"] = true
	assert.Error(t, schema.Validate(report))
}

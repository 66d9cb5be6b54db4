package lint

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
)

// WriteText writes findings for people: place, severity and rule on one line, as compilers do, and what to do below it.
func WriteText(w io.Writer, all []Finding) error {
	var b strings.Builder
	counts := map[Severity]int{}
	accepted := 0
	for _, f := range all {
		place := f.File
		if f.Line > 0 {
			place += fmt.Sprintf(":%d:%d", f.Line, f.Col)
		}
		severity := string(f.Severity)
		if f.Ignored != "" {
			severity = "accepted"
			accepted++
		} else {
			counts[f.Severity]++
		}
		who := ""
		if f.Session != "" {
			who = f.Session + ": "
		}
		fmt.Fprintf(&b, "%s: %s %s %s: %s%s\n", place, severity, f.Rule, f.Name, who, f.Message)
		if f.Ignored != "" {
			fmt.Fprintf(&b, "    accepted: %s\n", f.Ignored)
			continue
		}
		fmt.Fprintf(&b, "    why: %s\n    fix: %s\n", f.Why, f.Fix)
	}
	fmt.Fprintf(&b, "errors: %d, warnings: %d, notes: %d, accepted: %d\n", counts[Error], counts[Warning], counts[Info], accepted)
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes findings as an array.
func WriteJSON(w io.Writer, all []Finding) error {
	if all == nil {
		all = []Finding{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(all)
}

// fileURI is relative for a relative path.
func fileURI(path string) string {
	u := &url.URL{Path: filepath.ToSlash(path)}
	if filepath.IsAbs(path) {
		u.Scheme = "file"
	}
	return u.String()
}

// WriteSARIF writes findings in the Static Analysis Results Interchange Format 2.1.0, which code hosts show beside the lines.
func WriteSARIF(w io.Writer, version string, all []Finding) error {
	type m = map[string]any
	level := map[Severity]string{Error: "error", Warning: "warning", Info: "note"}
	var descriptors, results []m
	for _, r := range append([]Rule{unused}, rules...) {
		descriptors = append(descriptors, m{
			"id": r.ID, "name": r.Name, "shortDescription": m{"text": r.Name}, "fullDescription": m{"text": r.Why}, "help": m{"text": r.Fix},
			"defaultConfiguration": m{"level": level[r.Severity]},
		})
	}
	for _, f := range all {
		message := f.Message
		if f.Session != "" {
			message = f.Session + ": " + message
		}
		result := m{
			"ruleId": f.Rule, "level": level[f.Severity], "message": m{"text": message + ". Fix: " + f.Fix},
			"locations": []m{{"physicalLocation": m{
				"artifactLocation": m{"uri": fileURI(f.File)}, "region": m{"startLine": max(1, f.Line), "startColumn": max(1, f.Col)},
			}}},
		}
		if f.Ignored != "" {
			result["suppressions"] = []m{{"kind": "inSource", "justification": f.Ignored}}
		}
		results = append(results, result)
	}
	if results == nil {
		results = []m{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(m{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []m{{"tool": m{"driver": m{"name": "understudy", "version": version, "rules": descriptors}}, "results": results}},
	})
}

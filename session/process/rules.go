package process

import (
	"fmt"
	"strings"
)

// SplitRules takes a list of permission rules apart as the CLI does: at commas and spaces outside of parentheses, where the
// first closing parenthesis ends what an opening one began, however many were opened.
func SplitRules(list string) []string {
	var out []string
	var rule strings.Builder
	inside := false
	end := func() {
		if text := strings.TrimSpace(rule.String()); text != "" {
			out = append(out, text)
		}
		rule.Reset()
	}
	for _, c := range list {
		switch {
		case c == '(' || c == ')':
			inside = c == '('
			rule.WriteRune(c)
		case c == ',' && !inside:
			end()
		case c == ' ' && !inside:
			if strings.TrimSpace(rule.String()) != "" {
				end()
			}
		default:
			rule.WriteRune(c)
		}
	}
	end()
	return out
}

// checkRules refuses rules that the CLI would take apart: Bash(a (b), Write) is two, one of which allows Write.
func checkRules(option string, rules []string) error {
	for _, r := range rules {
		if r == "" {
			return fmt.Errorf("%s: an empty entry; remove it", option)
		}
		if strings.ContainsAny(r, "\t\n\r") {
			return fmt.Errorf("%s: %q has a line break or a tab; write one rule an entry", option, cut(r, 80))
		}
		if parts := SplitRules(r); len(parts) != 1 || parts[0] != r {
			return fmt.Errorf("%s: %q would be read as several rules (comma or space outside parentheses); write one rule an entry",
				option, cut(r, 80))
		}
		if strings.Count(r, "(") != strings.Count(r, ")") || strings.Contains(r, "(") && !strings.HasSuffix(r, ")") {
			return fmt.Errorf("%s: %q has unbalanced parentheses; write it like Bash(git *)", option, cut(r, 80))
		}
	}
	return nil
}

package config

import (
	"fmt"
	"regexp"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expansionError is a ${…} that cannot be expanded. Written is the part of the text it is about.
type expansionError struct{ written, message, hint string }

// expand replaces ${env:NAME} and ${env:NAME:-default}, and $${ by ${. It goes on after an error, so that all
// of a text's are found. The result is never looked at again: a variable's value cannot expand to another's.
func expand(text string, lookup func(string) (string, bool)) (out string, fromEnv bool, problems []expansionError) {
	if !strings.Contains(text, "${") {
		return text, false, nil
	}
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			break
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1])
			b.WriteString("${")
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		text = text[i:]
		end := strings.IndexByte(text, '}')
		if end < 0 {
			problems = append(problems, expansionError{shown(text, false), "unterminated ${", "close it with }, or write $${ for the two characters ${"})
			break
		}
		written := text[:end+1]
		text = text[end+1:]
		value, problem := variable(written, lookup)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		fromEnv = true
		b.WriteString(value)
	}
	return b.String(), fromEnv, problems
}

// variable is the value of one ${…}.
func variable(written string, lookup func(string) (string, bool)) (string, *expansionError) {
	fail := func(hint, format string, args ...any) (string, *expansionError) {
		return "", &expansionError{shown(written, false), fmt.Sprintf(format, args...), hint}
	}
	inner := written[2 : len(written)-1]
	if strings.Contains(inner, "${") {
		return fail("a default is taken as it is; write the value in full", "${ inside of ${…} is not supported")
	}
	scheme, rest, found := strings.Cut(inner, ":")
	if !found || scheme != "env" {
		hint := "write ${env:NAME} or ${env:NAME:-default}; $${ stands for the two characters ${"
		if name, _, _ := strings.Cut(inner, ":-"); variableName.MatchString(name) && name != "env" {
			hint = fmt.Sprintf("did you mean ${env:%s}?", cut(name))
		}
		return fail(hint, "unknown expansion: only environment variables can be expanded")
	}
	name, fallback, hasFallback := strings.Cut(rest, ":-")
	if !variableName.MatchString(name) {
		return fail("letters, digits and _, not beginning with a digit", "%s is no name of an environment variable", quote(cut(name)))
	}
	value, set := lookup(name)
	switch {
	case hasFallback && value == "": // as in a shell, :- is for unset and for empty
		return fallback, nil
	case !set:
		return fail(fmt.Sprintf("set it, or give a default: ${env:%s:-default}", cut(name)), "environment variable %s is not set", cut(name))
	}
	return value, nil
}

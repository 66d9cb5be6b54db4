package audit

import (
	"regexp"
	"strings"
)

// Rules that are no patterns.
const (
	ruleValue = "value" // a value the runtime knows
	ruleField = "field" // what stands under the name of a secret
)

// pattern finds secrets by their look. If it has a group, that is the secret.
type pattern struct {
	rule  string
	words []string // one of them is in every match: looking for them is quick
	match *regexp.Regexp
}

// patterns never match in a mark: none of their secrets has a bracket in it.
var patterns = []pattern{
	{"anthropic-key", []string{"sk-ant-"}, regexp.MustCompile(`sk-ant-[A-Za-z0-9_-]{8,}`)},
	{"openai-key", []string{"sk-"}, regexp.MustCompile(`\bsk-[A-Za-z0-9_-]{20,}`)},
	{"github-token", []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}, regexp.MustCompile(`(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})`)},
	{"gitlab-token", []string{"glpat-"}, regexp.MustCompile(`glpat-[A-Za-z0-9_-]{16,}`)},
	{"slack-token", []string{"xox"}, regexp.MustCompile(`xox[abeoprs]-[A-Za-z0-9-]{10,}`)},
	{"aws-key", []string{"AKIA", "ASIA"}, regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`)},
	{"aws-secret", []string{"secret_access_key", "SECRET_ACCESS_KEY"}, regexp.MustCompile(`(?i)secret_access_key["'\s:=]+([A-Za-z0-9/+]{40})`)},
	{"google-key", []string{"AIza"}, regexp.MustCompile(`AIza[A-Za-z0-9_-]{35}`)},
	{"npm-token", []string{"npm_"}, regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}`)},
	{"huggingface-token", []string{"hf_"}, regexp.MustCompile(`\bhf_[A-Za-z0-9]{30,}`)},
	{"stripe-key", []string{"_live_"}, regexp.MustCompile(`\b[sr]k_live_[A-Za-z0-9]{16,}`)},
	{"jwt", []string{"eyJ"}, regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`)},
	{"private-key", []string{"PRIVATE KEY-----"}, regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[^\[\]]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`)},
	{"url-password", []string{"://"}, regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@"'\[\]\\]*:([^\s/@"'\[\]\\]+)@`)},
	{"authorization", []string{"uthorization", "UTHORIZATION", "pi-key", "PI-KEY", "pi-Key"}, regexp.MustCompile(
		`(?i)(?:authorization|x-api-key)["']?\s*[:=]\s*["']?(?:bearer\s+|basic\s+|token\s+)?([A-Za-z0-9._~+/=-]{8,})`)},
	// What commands are given: NAME_PASSWORD=…, --password=… or --password …, and ?token=….
	{"assignment", []string{"PASSWORD=", "PASSWD=", "SECRET=", "TOKEN=", "API_KEY=", "APIKEY=", "-password", "-passwd", "-secret", "-token", "-api-key", "-apikey",
		"password=", "secret=", "token=", "api_key=", "apikey="}, regexp.MustCompile(
		`(?:\b[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY)=|--[a-z-]*(?:password|passwd|secret|token|api-?key)[= ]|[?&][a-z_]*(?:password|secret|token|api_?key)=)` +
			`["']?([^-\s"'$&|;<>(){}\[\]\\` + "`" + `][^\s"'$&|;<>(){}\[\]\\` + "`" + `]{5,})`)},
}

// shortest is below the length of anything that a pattern matches.
const shortest = 8

// suspicious reports whether a pattern might match, or a field be secret by its name. With escapes that
// cannot be told without undoing them.
func (r *redactor) suspicious(s string) bool {
	if r.plain || len(s) < shortest {
		return false
	}
	if strings.IndexByte(s, '\\') >= 0 {
		return true
	}
	return wordsIn(patternWords, s) != 0 || hasSecretField(s)
}

// patternWords has the words of each pattern.
var patternWords = func() *words {
	var sets [][]string
	for _, p := range patterns {
		sets = append(sets, p.words)
	}
	return newWords(sets)
}()

// matches finds what looks like a secret.
func matches(s string) (found []span) {
	if len(s) < shortest {
		return nil
	}
	present := wordsIn(patternWords, s)
	for i := 0; present != 0; i, present = i+1, present>>1 {
		p := &patterns[i]
		if present&1 == 0 {
			continue
		}
		for _, at := range p.match.FindAllStringSubmatchIndex(s, -1) {
			found = append(found, span{start: at[len(at)-2], end: at[len(at)-1], rule: p.rule})
		}
	}
	return found
}

// secretFields are names whose values are secrets whatever they look like, in lower case and without _ and
// -.
var secretFields = map[string]bool{
	"password": true, "passwd": true, "passphrase": true, "secret": true, "clientsecret": true, "authorization": true,
	"proxyauthorization": true, "xapikey": true, "apikey": true, "accesstoken": true, "refreshtoken": true, "authtoken": true,
	"idtoken": true, "privatekey": true, "secretkey": true, "secretaccesskey": true,
}

func secretField[T string | []byte](name T) bool {
	if len(name) > 40 {
		return false
	}
	plain := make([]byte, 0, 40)
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_' || c == '-':
		case 'A' <= c && c <= 'Z':
			plain = append(plain, c+'a'-'A')
		default:
			plain = append(plain, c)
		}
	}
	return secretFields[string(plain)]
}

// hasSecretField reports whether a field of JSON without escapes is secret by its name.
func hasSecretField[T string | []byte](s T) bool {
	start := -1 // of the name, if one is being read
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if s[i+1] == ':' && start >= 0 && secretField(s[start:i]) {
			return true
		}
		start = i + 1
	}
	return false
}

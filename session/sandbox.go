package session

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Sandbox is the CLI's sandbox for Bash, with the keys of its settings schema. It holds commands only: file tools, hooks and
// MCP servers run outside of it (see Options.ConfineFiles).
//
// With Enabled, a sandbox that cannot be had is an error before anything runs, and commands cannot leave it, unless
// FailIfUnavailable or AllowUnsandboxedCommands say otherwise: by itself the CLI would run without, and outside of it when the
// model asks to. A pointer that is nil leaves the choice to the CLI.
type Sandbox struct {
	Enabled *bool `json:"enabled,omitzero"`
	// FailIfUnavailable is true if nil and Enabled.
	FailIfUnavailable *bool `json:"failIfUnavailable,omitzero"`
	// AllowUnsandboxedCommands is false if nil and Enabled.
	AllowUnsandboxedCommands *bool `json:"allowUnsandboxedCommands,omitzero"`
	// AutoAllowBashIfSandboxed lets Bash run without a rule that allows it.
	AutoAllowBashIfSandboxed *bool `json:"autoAllowBashIfSandboxed,omitzero"`
	// ExcludedCommands run outside of the sandbox.
	ExcludedCommands []string           `json:"excludedCommands,omitzero"`
	Network          SandboxNetwork     `json:"network,omitzero"`
	Filesystem       SandboxFilesystem  `json:"filesystem,omitzero"`
	Credentials      SandboxCredentials `json:"credentials,omitzero"`
	// IgnoreViolations are paths, by command pattern, whose violations are not reported.
	IgnoreViolations map[string][]string `json:"ignoreViolations,omitzero"`

	// EnableWeakerNestedSandbox goes without a /proc of its own, which an unprivileged container does not let it have.
	EnableWeakerNestedSandbox    *bool           `json:"enableWeakerNestedSandbox,omitzero"`
	AllowNestedUserNamespaces    *bool           `json:"allowNestedUserNamespaces,omitzero"`
	EnableWeakerNetworkIsolation *bool           `json:"enableWeakerNetworkIsolation,omitzero"` // macOS
	AllowAppleEvents             *bool           `json:"allowAppleEvents,omitzero"`             // macOS
	Ripgrep                      *SandboxRipgrep `json:"ripgrep,omitzero"`
	// BwrapPath and SocatPath count in managed settings only; here the CLI ignores them.
	BwrapPath string `json:"bwrapPath,omitzero"`
	SocatPath string `json:"socatPath,omitzero"`

	// Environment and Container are no settings of the CLI, which ignores them. {"environment":"docker","container":NAME} is
	// merged all the same, and means that the CLI itself runs in that container.
	Environment string `json:"environment,omitzero"`
	Container   string `json:"container,omitzero"`
}

// SandboxNetwork is what commands reach. What the sandbox does not know is asked for, or, with StrictAllowlist, refused.
type SandboxNetwork struct {
	AllowedDomains          []string             `json:"allowedDomains,omitzero"` // such as go.dev or *.go.dev
	DeniedDomains           []string             `json:"deniedDomains,omitzero"`
	StrictAllowlist         *bool                `json:"strictAllowlist,omitzero"`
	AllowManagedDomainsOnly *bool                `json:"allowManagedDomainsOnly,omitzero"`
	AllowUnixSockets        []string             `json:"allowUnixSockets,omitzero"`
	AllowAllUnixSockets     *bool                `json:"allowAllUnixSockets,omitzero"`
	AllowLocalBinding       *bool                `json:"allowLocalBinding,omitzero"`
	AllowMachLookup         []string             `json:"allowMachLookup,omitzero"` // macOS
	HTTPProxyPort           int                  `json:"httpProxyPort,omitzero"`
	SOCKSProxyPort          int                  `json:"socksProxyPort,omitzero"`
	TLSTerminate            *SandboxTLSTerminate `json:"tlsTerminate,omitzero"`
}

// SandboxTLSTerminate has the sandbox's proxy read HTTPS. Without paths it makes a certificate for the session.
type SandboxTLSTerminate struct {
	CACertPath string `json:"caCertPath,omitzero"`
	CAKeyPath  string `json:"caKeyPath,omitzero"`
}

// SandboxFilesystem is what commands may write and not read. They write the working directory, and read everything, unless
// it says otherwise.
type SandboxFilesystem struct {
	AllowWrite                []string `json:"allowWrite,omitzero"`
	DenyWrite                 []string `json:"denyWrite,omitzero"`
	DenyRead                  []string `json:"denyRead,omitzero"`
	AllowRead                 []string `json:"allowRead,omitzero"` // within DenyRead
	AllowManagedReadPathsOnly *bool    `json:"allowManagedReadPathsOnly,omitzero"`
	Disabled                  *bool    `json:"disabled,omitzero"`
}

// SandboxCredentials are what commands must not see.
type SandboxCredentials struct {
	Files                []SandboxCredentialFile     `json:"files,omitzero"`
	EnvVars              []SandboxCredentialVariable `json:"envVars,omitzero"`
	AllowPlaintextInject *bool                       `json:"allowPlaintextInject,omitzero"`
	AWSPairs             []SandboxAWSPair            `json:"awsPairs,omitzero"`
	SigV4                *SandboxSigV4               `json:"sigv4,omitzero"`
}

// SandboxCredentialFile is a file that is hidden (deny), or shown with a stand-in for what is secret in it (mask).
type SandboxCredentialFile struct {
	Path             string   `json:"path"`
	Mode             string   `json:"mode"` // deny | mask
	Extract          string   `json:"extract,omitzero"`
	OnExtractNoMatch string   `json:"onExtractNoMatch,omitzero"` // warn | deny | error
	Decode           string   `json:"decode,omitzero"`           // jwt
	MaskClaims       []string `json:"maskClaims,omitzero"`
	MaskDuplicates   *bool    `json:"maskDuplicates,omitzero"`
	InjectHosts      []string `json:"injectHosts,omitzero"`
}

// SandboxCredentialVariable is a variable that is unset (deny) or has a stand-in for its value (mask).
type SandboxCredentialVariable struct {
	Name             string   `json:"name"`
	Mode             string   `json:"mode"` // deny | mask
	Extract          string   `json:"extract,omitzero"`
	OnExtractNoMatch string   `json:"onExtractNoMatch,omitzero"` // warn | deny | error
	Decode           string   `json:"decode,omitzero"`           // jwt
	MaskClaims       []string `json:"maskClaims,omitzero"`
	InjectHosts      []string `json:"injectHosts,omitzero"`
}

// SandboxAWSPair names the variables of an AWS key.
type SandboxAWSPair struct {
	AccessKeyIDVar     string `json:"accessKeyIdVar"`
	SecretAccessKeyVar string `json:"secretAccessKeyVar"`
	SessionTokenVar    string `json:"sessionTokenVar,omitzero"`
}

// SandboxSigV4 says what becomes of AWS requests that cannot be signed again; each is deny or passthrough.
type SandboxSigV4 struct {
	Streaming string `json:"streaming,omitzero"`
	Presigned string `json:"presigned,omitzero"`
	SigV4A    string `json:"sigv4a,omitzero"`
}

// SandboxRipgrep is the rg that the sandbox looks for files with.
type SandboxRipgrep struct {
	Command string   `json:"command"`
	Args    []string `json:"args,omitzero"`
}

// On reports whether the sandbox is asked for.
func (s Sandbox) On() bool { return is(s.Enabled) }

// InContainer reports whether the CLI itself is to run in a container that is named.
func (s Sandbox) InContainer() bool { return s.Environment == "docker" && s.Container != "" }

// is tells a switch that is on from one that is off or not set.
func is(p *bool) bool { return p != nil && *p }

// Words are those that the CLI takes. For any other it would drop all of the settings.
var (
	credentialModes  = []string{"deny", "mask"}
	extractFallbacks = []string{"warn", "deny", "error"}
	signatures       = []string{"deny", "passthrough"}
)

// Problems is what is wrong with the values, with paths below sandbox.
func (s Sandbox) Problems() []Problem {
	var out []Problem
	word := func(path, got string, may []string, required bool) {
		if got == "" && !required || slices.Contains(may, got) {
			return
		}
		out = append(out, Problem{Path: path, Value: got, Message: "expected " + oneOf(may)})
	}
	for i, f := range s.Credentials.Files {
		at := fmt.Sprintf("credentials.files[%d].", i)
		if f.Path == "" {
			out = append(out, Problem{Path: at + "path", Value: "", Message: "expected a path"})
		}
		word(at+"mode", f.Mode, credentialModes, true)
		word(at+"onExtractNoMatch", f.OnExtractNoMatch, extractFallbacks, false)
		word(at+"decode", f.Decode, []string{"jwt"}, false)
	}
	for i, v := range s.Credentials.EnvVars {
		at := fmt.Sprintf("credentials.envVars[%d].", i)
		if v.Name == "" {
			out = append(out, Problem{Path: at + "name", Value: "", Message: "expected the name of a variable"})
		}
		word(at+"mode", v.Mode, credentialModes, true)
		word(at+"onExtractNoMatch", v.OnExtractNoMatch, extractFallbacks, false)
		word(at+"decode", v.Decode, []string{"jwt"}, false)
	}
	if sig := s.Credentials.SigV4; sig != nil {
		word("credentials.sigv4.streaming", sig.Streaming, signatures, false)
		word("credentials.sigv4.presigned", sig.Presigned, signatures, false)
		word("credentials.sigv4.sigv4a", sig.SigV4A, signatures, false)
	}
	port := func(path string, got int) {
		if got < 0 || got > 65535 {
			out = append(out, Problem{Path: path, Value: fmt.Sprint(got), Message: "expected a port up to 65535"})
		}
	}
	port("network.httpProxyPort", s.Network.HTTPProxyPort)
	port("network.socksProxyPort", s.Network.SOCKSProxyPort)
	if s.Environment != "" && s.Environment != "docker" {
		out = append(out, Problem{Path: "environment", Value: s.Environment, Message: "expected docker; the CLI knows no environments, and the runtime this one"})
	}
	switch {
	case s.Environment != "" && s.Container == "":
		out = append(out, Problem{Path: "container", Value: "", Message: "expected the name of the container that the CLI runs in"})
	case s.Container != "" && s.Environment == "":
		out = append(out, Problem{Path: "environment", Value: "", Message: "expected docker beside container"})
	}
	return out
}

// settings is the sandbox as the CLI's settings have it; nil if nothing is set.
func (s Sandbox) settings() map[string]any {
	data, err := json.Marshal(s)
	var out map[string]any
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		panic("session: a sandbox is plain data: " + err.Error())
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func oneOf(words []string) string {
	var out strings.Builder
	out.WriteString(words[0])
	for i, w := range words[1:] {
		if i == len(words)-2 {
			out.WriteString(" or " + w)
		} else {
			out.WriteString(", " + w)
		}
	}
	return out.String()
}

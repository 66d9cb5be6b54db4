package understudy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/audit/remote"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// callWitness makes the witness, if one is wanted.
func (rt *Runtime) callWitness() (err error) {
	if !rt.options.Audit.Witness {
		return nil
	}
	rt.witness, err = remote.NewWitness(remote.WitnessOptions{
		Name: "root/witness", Logger: rt.log, Report: func(r audit.Record) { rt.trail.Post(r) },
	})
	if err == nil {
		rt.options.Audit.Redact = append(slices.Clone(rt.options.Audit.Redact), rt.witness.Token())
	}
	return err
}

// dismissWitness stops listening for CLIs.
func (rt *Runtime) dismissWitness() error {
	if rt.witness == nil {
		return nil
	}
	return rt.witness.Close()
}

// Witness is what the witness has seen, and whether there is one: AuditOptions.Witness.
func (rt *Runtime) Witness() (remote.WitnessStatus, bool) {
	if rt.witness == nil {
		return remote.WitnessStatus{}, false
	}
	return rt.witness.Status(), true
}

// witnessed is what a CLI's environment needs for it.
func (rt *Runtime) witnessed() map[string]string {
	if rt.witness == nil {
		return nil
	}
	return rt.witness.Env()
}

// auditDir is where the audit log is, empty if there is none.
func (rt *Runtime) auditDir() string {
	if rt.options.Audit.Dir == "" && rt.options.DataDir != "" {
		return filepath.Join(rt.options.DataDir, "audit")
	}
	return rt.options.Audit.Dir
}

// secrets are the values that must not get into the audit log.
func (rt *Runtime) secrets() []string {
	values := slices.Clone(rt.options.Audit.Redact)
	for _, variable := range os.Environ() { // what the program itself was given, and may pass on
		if name, value, _ := strings.Cut(variable, "="); process.SecretName(name) {
			values = append(values, value)
		}
	}
	for _, s := range rt.options.Sessions {
		values = append(values, secretsOf(s.Options)...)
	}
	for _, w := range rt.options.Warm {
		values = append(values, secretsOf(w.Options)...)
	}
	return values
}

func secretsOf(o session.Options) []string {
	var values []string
	if o.APIKey != "" {
		values = append(values, o.APIKey.Reveal())
	}
	for name, value := range o.Env {
		if process.SecretName(name) {
			values = append(values, value)
		}
	}
	return values
}

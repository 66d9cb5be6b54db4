// Package lint is the production checklist: rules about a configuration that is valid, and should be safe as well.
//
//	findings := lint.Check(cfg, lint.Here())
//	if lint.Failed(findings) { … }
//
// A rule has an id that stays, a severity, and for each finding a place in the file, why it matters and what to do. Findings
// that the file accepts (ignore: [{rule: S07, session: x, reason: …}]) are kept, marked with the reason; one that accepts
// nothing is a finding itself.
//
// The rules look at the file, at the directories that it names, and at what Host says of the machine. They start nothing.
// What can only be seen by trying (sandbox tools, namespaces, the CLI's version) is `understudy doctor`'s.
package lint

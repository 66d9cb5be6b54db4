// Package install fetches the Claude Code CLI from npm, in a version of one's own choosing, into a directory of one's own:
//
//	path, err := install.CLI(ctx, install.Options{Version: "2.1.330", Dir: "/opt/understudy/cli/2.1.330"})
//
// The npm client does the fetching, so that its registry, proxy and credentials (.npmrc, npm_config_*) hold here too. What it
// brings is checked here: against the SHA-512 sum that the registry has for the version, and, for versions that this package
// knows, against SHA-256 sums that were taken when they were tested and are not the registry's to change.
//
// The binary appears in the directory whole and checked, or not at all. Several processes may install into one directory at
// once: one of them does it, the others wait. What a process that was killed leaves behind is removed by the next.
package install

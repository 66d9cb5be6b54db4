// Package config reads the configuration file of the runtime.
//
// A file becomes the options of the other packages, and nothing else: this package starts nothing and keeps
// nothing. What it adds to them is the file: the place of each value, ${env:NAME}, and a report of everything
// that is wrong, at once and with a place for each:
//
//	c, err := config.Load("understudy.yaml", os.LookupEnv)
//	if err != nil {
//		var ds config.Diagnostics
//		if errors.As(err, &ds) {
//			fmt.Fprint(os.Stderr, ds.Render(false))
//		}
//		os.Exit(2)
//	}
//	for _, s := range c.Sessions {
//		fmt.Println(s.Name, s.Options.Model)
//	}
//
// # Format
//
// The file is one YAML document (so JSON will do), in UTF-8, of at most 1 MiB. Its keys are the json names of
// Config and what is in it; those of a session are the json names of session.Options. Every key may be left out.
//
//	version: 1
//	data_dir: ./data                  # state, audit log, socket
//	cli:
//	  path: claude                    # a path, a name on PATH, or "simulated"
//	supervisor:
//	  strategy: one_for_one
//	  max_restarts: 3                 # within
//	  max_seconds: 5
//	  backoff: {initial: 200ms, max: 30s, factor: 2, jitter: 0.2, reset_after: 1m}
//	defaults:                         # every session starts from these
//	  permission_mode: dontAsk
//	  api_key: ${env:ANTHROPIC_API_KEY}
//	sessions:                         # started in this order
//	  reviewer:
//	    model: sonnet
//	    cwd: /srv/app
//	    allowed_tools: [Read, "Bash(git:*)"]
//	    max_turns: 10
//	audit:
//	  dir: ./data/audit
//	  mode: required                  # required | best_effort
//	debug:
//	  listen: 127.0.0.1:7070          # nothing: the socket alone
//	  token: ${env:UNDERSTUDY_TOKEN}
//
// A session's key replaces that of the defaults, also by 0, false or an empty list. Mappings (env, sandbox,
// extra_args) are merged key by key, sandbox to any depth; lists and settings are replaced. null takes back what
// the defaults say. A key with nothing after it is a mistake, unless it is a section or a session.
//
// Types are strict: text that looks like a number or a boolean needs quotes, and a number must not have them.
// Durations have units: 500ms, 5s, 1m30s. Integers are decimal. settings is a path, a JSON object as text, or a mapping.
// A flag in extra_args without a value is null or true; dashes before its name are optional.
//
// Relative paths start from the directory of the file; ~/ is HOME. That holds for data_dir, audit.dir, cwd,
// add_dir, settings, and for cli.path if there is a slash in it. cwd, add_dir and settings must exist.
//
// ${env:NAME} in a value is that environment variable, and ${env:NAME:-default} is default if the variable is not set or
// empty; $${ is the two characters ${. Expansion comes after parsing: a variable's value can be part of a text, or
// be a number, a boolean or a duration, but never a list, a mapping or a key. In {…} and […] YAML wants quotes
// around it, also where a number is meant. A variable that is not set and has no default is a mistake.
//
// Anchors, aliases and merge keys (<<) work. Tags, directives and a second document do not.
//
// # Secrets
//
// A diagnostic shows what is written in the file and never what ${env:NAME} stands for. Literal values of api_key, token
// and everything in env are shown as [redacted], and excerpts mask what looks like a secret.
//
// # Concurrency
//
// All functions may be called at the same time. A Config is a plain value: reading it is safe, changing it is the
// caller's to coordinate.
package config

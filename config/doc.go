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
//	supervisor:                       # of all that is in no group
//	  strategy: one_for_one           # one_for_one | one_for_all | rest_for_one
//	  max_restarts: 3                 # of one session, within
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
//	supervisors:                      # groups of sessions; started after the sessions above
//	  ci:
//	    strategy: rest_for_one
//	    max_restarts: 5               # of its sessions together
//	    max_seconds: 60
//	    backoff: {initial: 1s}
//	    sessions:
//	      builder: {model: haiku}
//	      tester: {}
//	    supervisors: {}               # groups in this one, after its sessions; to 16 levels
//	templates:                        # options under a name
//	  worker: {model: haiku}
//	pools:                            # sessions that are all alike, for prompts that stand alone
//	  workers:
//	    template: worker              # or options: {model: haiku}; neither: the defaults
//	    min: 2                        # sessions that are kept up; 1 if not given
//	    max: 8                        # sessions that there may be; min if not given
//	    max_queue: 16                 # queries that may wait for one; 0 if not given
//	    idle_timeout: 5m              # ends one beyond min that has nothing to do
//	budgets:                          # what sessions may spend together: budgets: [team] among their options
//	  team: {limit_usd: 50, per: 24h} # per: windows of that length, from midnight UTC; none: one for ever
//	limits:                           # of all sessions together; 0, or not given: none
//	  max_processes: 40               # CLIs that are there
//	  max_busy: 10                    # turns that run
//	  max_starting: 4                 # CLIs that come up; twice the number of cores if not given
//	  starts_per_minute: 60           # in the long run, and
//	  start_burst: 10                 # at once
//	drain_timeout: 30s                # for turns that run when the daemon is to end
//	audit:
//	  dir: ./data/audit
//	  mode: required                  # required | best_effort
//	  segment_size: 64MiB             # and segment_age, keep_size, keep_age, checkpoint_records, checkpoint_every, key_file
//	  levels: [{tool: Read, path: /srv/secrets/**, input: metadata, output: none}]
//	  redact: [${env:DB_PASSWORD}]
//	  anchors: [{file: /mnt/other/checkpoints}, {syslog: local}, {url: https://witness.example/}]
//	  sinks: [{name: siem, url: https://siem.example/ingest, format: ocsf}, {name: mine, log: true}]
//	  witness: true
//	debug:
//	  listen: 127.0.0.1:7070          # nothing: the socket alone
//	  token: ${env:UNDERSTUDY_TOKEN}
//
// # Supervisors
//
// supervisor applies to what is in no group: its intensity is that of each session and each group by itself, and of
// the sessions of a pool. Its children are sessions, groups and pools, started in this order, and one_for_all and
// rest_for_one mean all of these. A group's intensity is of its sessions together. If they use it up the group ends,
// and the supervisor above starts it again; a group that ends too often for that one's intensity is parked. A group
// takes over nothing from the supervisor above: what it does not say is the default. That is one_for_one, 3 restarts in 5
// seconds, and a backoff of 200 ms, doubled up to 30 s, with 20 % jitter. A part of backoff that is given replaces that
// part; initial: 0s turns it off.
//
// Names of sessions are unique in the whole file. Sessions, groups and pools that are children of one supervisor have
// different names. The sessions of a pool are called NAME-1, NAME-2 and so on, up to max, and no other session may be.
//
// # Options
//
// Sessions, templates and the options of pools start from defaults, in groups too; a pool with a template starts from
// its template. A session's key replaces that of the defaults, also by 0, false or an empty list. Mappings (env, sandbox,
// extra_args) are merged key by key, sandbox to any depth; lists and settings are replaced. null takes back what
// the defaults say. A key with nothing after it is a mistake, unless it is a section or what is under a name in one.
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

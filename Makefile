# Everything a developer and CI need. `make run` and `make test` are the two to know.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
SUMTYPE     := github.com/alecthomas/go-check-sumtype/cmd/go-check-sumtype@v0.4.0

.PHONY: run build test check chaos soak bench bench-audit scan measure browser host load fuzz clean

## run: build the binary and start the demo on the simulated CLI
run: build
	bin/understudy up -f testdata/demo.yaml

build:
	$(GO) build -ldflags "-X main.version=$(VERSION)" -o bin/understudy ./cmd/understudy

## test: unit, race, process and conformance tests. The conformance tests install the real CLI into .cache/;
## without npm or network they are skipped, and with CI=true that is a failure.
test:
	@# Says whether the real CLI is there: what the long run skips, it skips in silence.
	@$(GO) test -count=1 -v -run '^TestRealCLISaysItsVersion$$' ./session/sessiontest | grep -v '^==='
	$(GO) test -race -timeout 25m ./...

## soak: sessions begin, answer and end: twenty of them at a time, SOAK (500) times each or for six minutes, on one processor, while processes
## are killed, the disk is full now and then, and the clock is set
soak:
	UNDERSTUDY_SOAK=$(or $(SOAK),500) $(GO) test -count=1 -timeout 30m -v -run '^TestSoak$$' .

## chaos: the random tests, longer; a crash by each signal, and by lack of memory, in every phase of the real CLI; a thousand stops;
## what the CLI does after half a minute
chaos:
	UNDERSTUDY_CHAOS=20s UNDERSTUDY_SOAK=20 UNDERSTUDY_STOPS=125 UNDERSTUDY_SEQUENCES=10000 $(GO) test -race -count=1 -timeout 30m -run 'Chaos|Soak|NestedBudgets|ManyTurns|Model|CrashInEveryPhase|StopInEveryState|ProgressSummaries' . ./supervisor

## check: formatting, vet, staticcheck, pending modernizations, closed message sets
check:
	@test -z "$$(gofmt -l .)" || { echo "gofmt -w:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) fix -diff ./...
	$(GO) run $(SUMTYPE) ./...

## bench: the supervisor beside suture's and OTP's, as docs/performance.md shows it. A module of its own; it is
## skipped if its modules cannot be fetched, and its OTP part without Erlang (Debian: erlang-base).
bench:
	@cd bench && { $(GO) mod download >/dev/null 2>&1 || { echo "bench skipped: its Go modules cannot be fetched"; exit 0; }; $(GO) run .; }

## measure: starts, restarts and warm starts of the real CLI beside a bare start, and a thousand simulated sessions beside a plain loop,
## as docs/performance.md says
measure:
	UNDERSTUDY_MEASURE=20 UNDERSTUDY_MEASURE_SESSIONS=1000 $(GO) test -count=1 -timeout 30m -run '^TestMeasure' -v .

## browser: the debug page in headless Chromium, with 200 simulated sessions. Pictures are left in .cache/screenshots.
## Needs chromium (CHROMIUM says where), node and npm.
browser: build
	cd supervisor/debug/browser && npm ci --no-audit --no-fund --silent && npm test

## host: boots Debian in an emulator and runs there what wants a host to itself: the systemd unit, and control groups with all their
## controllers. Needs qemu-system-x86, mmdebstrap and e2fsprogs, and a Debian mirror the first time. HOSTRUN=TestLimits runs some of it
host:
	@test -f .cache/host/disk.img || hosttest/image.sh .cache/host
	rm -rf .cache/host/payload && mkdir -p .cache/host/payload
	CGO_ENABLED=0 $(GO) build -o .cache/host/payload/understudy ./cmd/understudy
	CGO_ENABLED=0 $(GO) test -c -o .cache/host/payload/process.test ./session/process
	CGO_ENABLED=0 $(GO) test -c -tags hosttest -o .cache/host/payload/hosttest ./hosttest
	cp docs/understudy.service .cache/host/payload/
	echo "-test.run=$(or $(HOSTRUN),.)" > .cache/host/payload/arguments
	hosttest/boot.sh .cache/host .cache/host/payload

## load: 1,000 sessions and 20 viewers for LOAD (10m), ten of which never read: memory must stay flat, and these must slow nobody
load:
	UNDERSTUDY_LOAD=$(or $(LOAD),10m) $(GO) test -count=1 -timeout 30m -v -run '^TestLoad$$' ./supervisor/debug

## bench-audit: the audit log beside a plain file, SQLite and bbolt, as docs/performance.md shows it, and reading it.
bench-audit:
	@cd audit/bench && { $(GO) mod download >/dev/null 2>&1 || { echo "bench-audit skipped: its Go modules cannot be fetched"; exit 0; }; $(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME); }
	$(GO) test ./audit -run '^$$' -bench 'Log|Encode'

BENCHTIME ?= 2s

## scan: a log of SCAN records (10,000,000: 4.6 GB in TMPDIR) gone through in every way, with the memory that it takes
scan:
	UNDERSTUDY_SCAN=$(or $(SCAN),10000000) $(GO) test -count=1 -timeout 60m -v -run '^TestScan$$' ./audit

## fuzz: the reader and the redactor of the audit log, and the reader of configurations, on arbitrary bytes
fuzz:
	@for target in audit:FuzzRead audit:FuzzChanged audit:FuzzRedact audit:FuzzIsCompact audit:FuzzDecode audit/internal/lanes:FuzzSum config:FuzzParse config:FuzzParseSession; do \
		$(GO) test ./$${target%:*} -run '^$$' -fuzz "^$${target#*:}\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s || exit 1; done

FUZZTIME ?= 2m

clean:
	rm -rf bin data

.PHONY: bench-wire
## bench-wire: messages per second beside the official TypeScript SDK (node, npm) and a Go SDK; what cannot be had is
## skipped, with a word
bench-wire:
	@cd bench/wire && { $(GO) mod download >/dev/null 2>&1 || { echo "bench-wire skipped: its Go modules cannot be fetched"; exit 0; }; $(GO) build -mod=mod -o ../../bin/wire . && ../../bin/wire; }

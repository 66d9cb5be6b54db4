package understudy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/audit/remote"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor"
)

const defaultInitial = 200 * time.Millisecond

// What a Runtime answers when it does not do what it was asked.
var (
	// ErrNoSession says that there is no session of that name.
	ErrNoSession = errors.New("no such session")
	// ErrExists says that there is a session of that name already.
	ErrExists = errors.New("session exists already")
	// ErrOptions says that Start was given options that cannot be: with the same ones it will say so again.
	ErrOptions = errors.New("options cannot be")
	// ErrDataDirInUse says that another runtime has the data directory.
	ErrDataDirInUse = errors.New("data directory in use")
)

// Runtime is a running tree of sessions.
type Runtime struct {
	options  Options
	log      zerolog.Logger
	id       string
	lock     *dirLock
	ledger   *process.Ledger // nil without a data directory
	scratch  *session.Scratch
	system   *actor.System
	trail    *audit.Trail    // nil: no audit log
	witness  *remote.Witness // nil: none is wanted
	root     *supervisor.Supervisor
	sessions *branch
	governor *session.Governor
	warmth   *branch
	held     []audit.Record // of the root supervisor: touched by its events only

	reloading chan struct{} // holds one while somebody reloads
	parting   time.Duration // how long somebody is kept waiting for the last of what is taken away
	grounds   grounds       // the directories in which sessions work

	mu       sync.Mutex
	draining bool // no more sessions are made
	known    map[string]*member
	budgets  map[string]*session.Budget // replaced as a whole
	pools    map[string]*Pool
	groups   map[string]*branch       // by path
	warm     map[string]*session.Warm // by template

	stop sync.Once
	done chan struct{}
	err  error
}

// Start builds the tree and returns. The context bounds the start; ending it later does nothing. Errors
// are ErrOptions and name what is wrong with the options, ErrDataDirInUse, or say why the audit log cannot be opened.
func Start(ctx context.Context, options Options) (*Runtime, error) {
	rt := &Runtime{
		options: options, log: options.Logger, known: make(map[string]*member), pools: make(map[string]*Pool), groups: make(map[string]*branch), done: make(chan struct{}),
		sessions: &branch{path: "root/sessions"}, warmth: &branch{path: "root/" + warmChild}, reloading: make(chan struct{}, 1),
		parting: 10 * time.Second,
	}
	o := &rt.options // a Reload compares with them
	o.Sessions, o.Groups, o.Pools, o.Budgets = slices.Clone(o.Sessions), cloned(o.Groups), slices.Clone(o.Pools), slices.Clone(o.Budgets)
	if err := rt.validate(); err != nil {
		return nil, &optionsError{err}
	}
	var err error
	if rt.lock, rt.id, err = lockDataDir(options.DataDir); err != nil {
		return nil, err
	}
	if err := rt.build(ctx); err != nil {
		return nil, errors.Join(err, rt.dismissWitness(), rt.lock.release())
	}
	return rt, nil
}

// optionsError is what is wrong with the options. Its text says enough without ErrOptions'.
type optionsError struct{ error }

func (e *optionsError) Is(target error) bool { return target == ErrOptions }

func (e *optionsError) Unwrap() error { return e.error }

func (rt *Runtime) validate() error {
	seen := make(map[string]bool)
	problems := []error{validateSessions(rt.options.Sessions, seen)}
	names := make(map[string]bool)
	for _, s := range rt.options.Sessions {
		names[s.Name] = true
	}
	for _, g := range rt.options.Groups {
		if names[g.Name] {
			problems = append(problems, fmt.Errorf("group %s: a session or group of that name is there already", g.Name))
		}
		names[g.Name] = true
		problems = append(problems, g.validate(seen))
	}
	for _, p := range rt.options.Pools {
		if names[p.Name] {
			problems = append(problems, fmt.Errorf("pool %s: a session, group or pool of that name is there already", p.Name))
		}
		names[p.Name] = true
		problems = append(problems, p.validate())
	}
	problems = append(problems, rt.options.separate(), rt.options.apart(), rt.validateBudgets())
	if _, err := rt.makeWarm(rt.options.Warm); err != nil {
		problems = append(problems, err)
	}
	if _, err := session.NewGovernor(rt.options.Limits, "", nil); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func (rt *Runtime) build(ctx context.Context) error {
	if swept := process.SweepPrefix(rt.id + "/"); len(swept.Killed) > 0 {
		// Only a runtime on this data directory has this id, and we hold its lock.
		rt.log.Warn().Int("processes", len(swept.Killed)).Msg("ended what an earlier runtime had left running")
	}
	rt.openLedger()
	if rt.options.DataDir != "" {
		if err := session.ClearScratch(rt.options.DataDir); err != nil {
			rt.log.Warn().Err(err).Msg("temporary files of an earlier runtime stay")
		}
		if err := session.ClearUnfinished(rt.options.DataDir); err != nil {
			rt.log.Warn().Err(err).Msg("half-written state files of an earlier runtime stay")
		}
	}
	rt.scratch = session.NewScratch(rt.options.DataDir)
	rt.system = actor.NewSystem(actor.Options{Logger: rt.log})
	root := supervisor.Options{Name: "root", OnEvent: rt.onRootEvent, Logger: rt.log}
	if dir := rt.auditDir(); dir != "" {
		o := &rt.options.Audit
		if err := rt.callWitness(); err != nil {
			return err
		}
		if rt.witness != nil {
			o.Sinks = append(slices.Clone(o.Sinks), rt.witness.Sink())
		}
		rt.trail = audit.New(rt.system, audit.Options{
			Name: "root/audit", Dir: dir, Mode: o.Mode, Runtime: rt.id, Levels: o.Levels,
			SegmentBytes: o.SegmentBytes, SegmentAge: o.SegmentAge, KeepBytes: o.KeepBytes, KeepAge: o.KeepAge,
			CheckpointRecords: o.CheckpointRecords, CheckpointEvery: o.CheckpointEvery, Signer: o.Signer, VerifierKey: o.VerifierKey,
			Sinks: o.Sinks, Anchors: o.Anchors, Redact: rt.secrets(), Logger: rt.log,
		})
		root.Children = append(root.Children, supervisor.ChildSpec{
			ID: auditChild, Start: rt.trail.Start, Shutdown: supervisor.Within(10 * time.Second),
			// A log that cannot be written is tried again by its actor, for as long as it takes: tools are denied
			// meanwhile, and the sessions live. This is for an actor that panics, or is killed.
			Intensity: &supervisor.Intensity{MaxRestarts: 1000, Within: time.Minute},
			Backoff:   &supervisor.Backoff{Initial: 100 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.2},
		})
	}
	if rt.witness != nil {
		root.Children = append(root.Children, supervisor.ChildSpec{
			ID: "witness", OnExhausted: supervisor.Fail, Intensity: &supervisor.Intensity{MaxRestarts: 10, Within: time.Minute},
			Start: func(ctx context.Context) (actor.PID, error) { return rt.witness.Start(ctx, rt.system) },
		})
	}
	root.Children = append(root.Children, supervisor.ChildSpec{
		ID: "sessions", Kind: supervisor.Supervised, Shutdown: supervisor.Infinity,
		Start: func(ctx context.Context) (actor.PID, error) {
			strategy := cmp.Or(rt.options.Supervisor.Strategy, supervisor.OneForOne)
			return rt.start(ctx, rt.sessions, supervisor.Options{
				Strategy: strategy, Independent: strategy == supervisor.OneForOne, Intensity: rt.options.Supervisor.Intensity,
			})
		},
	})
	setAside, err := rt.openBudgets()
	if err != nil {
		return err
	}
	rt.governor, err = session.NewGovernor(startingLimits(rt.options.Limits), rt.options.DataDir, func(err error) {
		rt.log.Error().Err(err).Msg("limits are not on disk")
	})
	if damaged, ok := errors.AsType[*session.StateError](err); ok {
		rt.log.Error().Err(damaged).Msg("limits could not be read")
		setAside = append(setAside, damaged.Error())
	} else if err != nil {
		return err
	}
	if rt.warm, err = rt.makeWarm(rt.options.Warm); err != nil {
		return err
	}
	if rt.root, err = supervisor.Start(ctx, rt.system, root); err != nil {
		return err
	}
	for _, text := range setAside {
		rt.noteDamage(text)
	}
	if from := rt.options.Configuration; from != (Configuration{}) {
		rt.record(audit.Record{Kind: audit.ConfigLoaded, Detail: map[string]any{"path": from.Path, "sha256": from.SHA256}})
	}
	for _, finding := range rt.options.Findings {
		rt.record(finding.Record())
	}
	go rt.watch() // ends with the tree
	if err := rt.populate(ctx); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return errors.Join(err, rt.Shutdown(stop))
	}
	return nil
}

// startingLimits fills in what is zero.
func startingLimits(l session.Limits) session.Limits {
	l.MaxStarting = cmp.Or(l.MaxStarting, 2*runtime.GOMAXPROCS(0))
	return l
}

// populate adds the sessions and groups of the options, without waiting for them to be ready.
func (rt *Runtime) populate(ctx context.Context) error {
	for _, s := range rt.options.Sessions {
		if err := rt.add(ctx, s.Name, s.Options, origin{}); err != nil {
			return err
		}
	}
	intensity, _ := rt.policy()
	for _, g := range rt.options.Groups {
		spec, err := rt.groupSpec(rt.sessions, g, intensity)
		if err != nil {
			return err
		}
		if err := rt.supervisorOf(rt.sessions).AddChild(ctx, spec); err != nil {
			return fmt.Errorf("group %s: %w", g.Name, err)
		}
	}
	for _, p := range rt.options.Pools {
		if err := rt.addPool(ctx, p); err != nil {
			return fmt.Errorf("pool %s: %w", p.Name, err)
		}
	}
	if err := rt.respawn(ctx); err != nil {
		return err
	}
	// Last: those who are there already come first.
	return rt.startWarm(ctx, slices.SortedFunc(maps.Values(rt.warm), func(a, b *session.Warm) int { return cmp.Compare(a.Name(), b.Name()) }))
}

// settleTime is how long the end waits for sinks and anchors: a little more than those get for the last checkpoint.
const settleTime = 3 * time.Second

// watch cleans up after the tree, however it ended.
func (rt *Runtime) watch() {
	<-rt.root.PID().Done()
	if reason := rt.root.PID().Reason(); !actor.Clean(reason) {
		rt.err = reason
		rt.log.Error().Err(reason).Msg("runtime gave up")
	}
	rt.closeSessions()
	for _, s := range rt.Sessions() {
		rt.settled(s)
	}
	rt.mu.Lock()
	budgets := rt.budgets
	rt.mu.Unlock()
	for _, b := range budgets {
		_ = b.Flush() // onBudget is told
	}
	rt.governor.Flush()
	// The sessions end their own trees. This is for what slipped from them.
	if swept := process.SweepPrefix(rt.id + "/"); len(swept.Killed) > 0 {
		rt.log.Warn().Int("processes", len(swept.Killed)).Msg("ended stray processes")
	}
	rt.grounds.leaveAll()
	if rt.trail != nil { // its last checkpoint is the one that has to be somewhere else
		ctx, cancel := context.WithTimeout(context.Background(), settleTime)
		if err := rt.trail.Settle(ctx); err != nil {
			rt.log.Warn().Err(err).Msg("the end does not wait for them any longer")
		}
		cancel()
	}
	if err := errors.Join(rt.dismissWitness(), rt.lock.release()); err != nil {
		rt.err = errors.Join(rt.err, err)
	}
	close(rt.done)
}

// closeSessions ends what waits for a session: there will be no other process.
func (rt *Runtime) closeSessions() {
	rt.mu.Lock()
	pools := slices.Collect(maps.Values(rt.pools))
	rt.mu.Unlock()
	for _, p := range pools { // not under rt.mu, which is taken under the pool's own
		p.close()
	}
	for _, s := range rt.Sessions() {
		s.Closing()
	}
}

// Supervise adds a child to the root supervisor and waits until it is ready: something that shall live
// with the sessions, such as the debug endpoint. It is stopped before them.
func (rt *Runtime) Supervise(ctx context.Context, spec supervisor.ChildSpec) error {
	_, err := rt.root.StartChild(ctx, spec)
	return err
}

// Audit is the audit log, nil if there is none: for records of the embedder's own, and for its status.
func (rt *Runtime) Audit() *audit.Trail { return rt.trail }

// System is the runtime's actors, for children of Supervise.
func (rt *Runtime) System() *actor.System { return rt.system }

// Drain refuses queries and new sessions from now on, and waits until no turn is running, of anybody's, or until ctx ends: then its
// error is returned, and the turns go on. Shutdown is what follows.
func (rt *Runtime) Drain(ctx context.Context) error {
	rt.mu.Lock()
	rt.draining = true
	pools := slices.Collect(maps.Values(rt.pools))
	rt.mu.Unlock()
	for _, p := range pools {
		p.close()
	}
	sessions := rt.Sessions()
	ends := make(chan error, len(sessions)+1)
	go func() { ends <- rt.endWarm(ctx) }() // ends with them, or with ctx
	for _, s := range sessions {
		go func() { ends <- s.Drain(ctx) }() // ends with the session's turn, or with ctx
	}
	var err error
	for range len(sessions) + 1 {
		if end := <-ends; err == nil {
			err = end
		}
	}
	return err
}

// Shutdown stops the tree: turns are interrupted, processes ended with all they started, the audit log
// closed. It may be called more than once; later calls wait for the first. If the context ends first, everything is
// killed, and the context's error returned; what became of the sessions is still written, for which Shutdown takes
// up to 5 s more, and some milliseconds as a rule.
func (rt *Runtime) Shutdown(ctx context.Context) error {
	rt.stop.Do(func() {
		rt.record(audit.Record{Kind: audit.RuntimeStopped})
		rt.closeSessions()
	})
	err := rt.root.Stop(ctx)
	if err != nil {
		rt.log.Error().Err(err).Msg("shutdown takes too long: killing what is left")
		rt.kill()
		return err
	}
	<-rt.done
	return rt.err
}

// How long an end by force may take, and of that the sessions, so that the audit log has the rest.
const (
	killTime     = 5 * time.Second
	sessionsTime = time.Second
)

// kill ends everything by force, and waits until what became of it is on disk: whoever gave up waiting for the end in order
// may leave the program next.
func (rt *Runtime) kill() {
	process.SweepPrefix(rt.id + "/")
	ctx, cancel := context.WithTimeout(context.Background(), killTime)
	defer cancel()
	for _, b := range []*branch{rt.warmth, rt.sessions} {
		if s := rt.supervisorOf(b); s != nil {
			go func() { _ = s.StopWithin(ctx, sessionsTime) }() // ends with its sessions, or with ctx; the root's end is what counts
		}
	}
	go func() { _ = rt.root.StopWithin(ctx, killTime*4/5) }() // as above
	select {
	case <-rt.done:
	case <-ctx.Done():
		rt.log.Error().Dur("waited", killTime).Msg("something does not end: what became of it may not be written")
	}
}

// Wait waits for the tree to end and returns why: nil after a Shutdown, the root supervisor's reason when it
// has given up, or the context's error.
func (rt *Runtime) Wait(ctx context.Context) error {
	select {
	case <-rt.done:
		return rt.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run is Wait for a program that has its runtime in an errgroup or the like: it returns when the tree has ended,
// with the same reasons, and when the context ends it shuts the tree down first, which takes as long as the
// sessions' Shutdown allows. Use Shutdown for less.
func (rt *Runtime) Run(ctx context.Context) error {
	select {
	case <-rt.done:
		return rt.err
	case <-ctx.Done():
		return rt.Shutdown(context.WithoutCancel(ctx))
	}
}

// Done is closed when the tree has ended: after Shutdown, or when the root supervisor has given up.
func (rt *Runtime) Done() <-chan struct{} { return rt.done }

// Err is why the tree has ended, nil after a Shutdown and as long as Done is open.
func (rt *Runtime) Err() error {
	select {
	case <-rt.done:
		return rt.err
	default:
		return nil
	}
}

package understudy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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
	system   *actor.System
	trail    *audit.Trail    // nil: no audit log
	witness  *remote.Witness // nil: none is wanted
	root     *supervisor.Supervisor
	sessions *branch
	governor *session.Governor
	budgets  map[string]*session.Budget
	held     []audit.Record // of the root supervisor: touched by its events only

	mu       sync.Mutex
	draining bool // no more sessions are made
	known    map[string]*member
	pools    map[string]*Pool

	stop sync.Once
	done chan struct{}
	err  error
}

// Start builds the tree and returns. The context bounds the start; ending it later does nothing. Errors
// name what is wrong with the options, ErrDataDirInUse, or say why the audit log cannot be opened.
func Start(ctx context.Context, options Options) (*Runtime, error) {
	rt := &Runtime{
		options: options, log: options.Logger, known: make(map[string]*member), pools: make(map[string]*Pool), done: make(chan struct{}),
		sessions: &branch{path: "root/sessions"},
	}
	if err := rt.validate(); err != nil {
		return nil, err
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
	problems = append(problems, rt.validateBudgets())
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
			// A log that cannot be written is tried again for as long as it takes: tools are denied
			// meanwhile, and the sessions live.
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
	limits := rt.options.Limits
	limits.MaxStarting = cmp.Or(limits.MaxStarting, 2*runtime.GOMAXPROCS(0))
	rt.governor, err = session.NewGovernor(limits, rt.options.DataDir, func(err error) {
		rt.log.Error().Err(err).Msg("limits are not on disk")
	})
	if damaged, ok := errors.AsType[*session.StateError](err); ok {
		rt.log.Error().Err(damaged).Msg("limits could not be read")
		setAside = append(setAside, damaged.Error())
	} else if err != nil {
		return err
	}
	if rt.root, err = supervisor.Start(ctx, rt.system, root); err != nil {
		return err
	}
	for _, text := range setAside {
		rt.record(audit.Record{Kind: audit.SessionNotice, Detail: map[string]any{"notice": string(session.NoticeStateDamaged), "text": text}})
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
	return rt.respawn(ctx)
}

// watch cleans up after the tree, however it ended.
func (rt *Runtime) watch() {
	<-rt.root.PID().Done()
	if reason := rt.root.PID().Reason(); !actor.Clean(reason) {
		rt.err = reason
		rt.log.Error().Err(reason).Msg("runtime gave up")
	}
	rt.closeSessions()
	for _, b := range rt.budgets {
		b.Flush()
	}
	rt.governor.Flush()
	// The sessions end their own trees. This is for what slipped from them.
	if swept := process.SweepPrefix(rt.id + "/"); len(swept.Killed) > 0 {
		rt.log.Warn().Int("processes", len(swept.Killed)).Msg("ended stray processes")
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

// origin is how a session came to be.
type origin struct {
	spawned bool // at run time
}

// newSession makes a session and takes it down under its name.
func (rt *Runtime) newSession(name string, options session.Options, home *branch, how origin) (*session.Session, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.draining {
		return nil, fmt.Errorf("session %s: %w: the runtime is being drained", name, session.ErrStopped)
	}
	if rt.known[name] != nil || home == rt.sessions && rt.taken(name) {
		return nil, fmt.Errorf("session %s: %w", name, ErrExists)
	}
	stateDir := ""
	if rt.options.DataDir != "" {
		stateDir = filepath.Join(rt.options.DataDir, "state")
	}
	budgets, err := rt.budgetsOf(name, options)
	if err != nil {
		return nil, err
	}
	path := home.path + "/" + name
	s, err := session.New(rt.system, session.Spec{
		Name: name, Options: options, CLI: rt.options.CLI, Path: path, Runtime: rt.id,
		StateDir: stateDir, Ledger: rt.ledger, Audit: rt.trail, Env: rt.witnessed(), Logger: rt.log,
		Budgets: budgets, Governor: rt.governor, Spawned: how.spawned,
	})
	if damaged, ok := errors.AsType[*session.StateError](err); ok {
		rt.log.Error().Err(damaged).Str("session", name).Msg("session state could not be read")
	} else if err != nil {
		return nil, err
	}
	if rt.trail != nil {
		rt.trail.Redact(secretsOf(options)...)
	}
	rt.known[name] = &member{s, path, home, make(chan struct{}, 1)}
	for _, l := range options.Loosened() { // never in silence
		rt.log.Warn().Str("session", name).Str("profile", string(options.Profile)).Str("option", l.Option).Str("set", l.Set).Msg("looser than its profile")
		rt.record(audit.Lint{Rule: "profile-loosened", Severity: "warning", Message: l.String(), Where: l.Option, Session: name}.Record())
	}
	return s, nil
}

// taken reports whether a group or a pool beside the sessions has that name.
func (rt *Runtime) taken(name string) bool {
	return slices.ContainsFunc(rt.options.Groups, func(g Group) bool { return g.Name == name }) ||
		slices.ContainsFunc(rt.options.Pools, func(p PoolSpec) bool { return p.Name == name })
}

// forget takes a session off the list, unless there is another one of its name by now.
func (rt *Runtime) forget(s *session.Session) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if m := rt.known[s.Name()]; m != nil && m.Session == s {
		delete(rt.known, s.Name())
	}
}

// policy is the restart policy of sessions outside of groups.
func (rt *Runtime) policy() (supervisor.Intensity, supervisor.Backoff) {
	intensity, backoff := supervisor.DefaultIntensity, DefaultBackoff
	if rt.options.Supervisor.Intensity != nil {
		intensity = *rt.options.Supervisor.Intensity
	}
	if rt.options.Supervisor.Backoff != nil {
		backoff = *rt.options.Supervisor.Backoff
	}
	return intensity, backoff
}

// SpawnedLabel is the Label of sessions that were spawned at run time, in events and snapshots of supervisors.
// A session of the configuration has its name there, one of a pool the pool's.
const SpawnedLabel = "spawned"

// child is how a session is supervised.
func (rt *Runtime) child(s *session.Session, label string, intensity supervisor.Intensity, backoff supervisor.Backoff) supervisor.ChildSpec {
	spec := s.ChildSpec(intensity, backoff)
	spec.Label = label
	return spec
}

// add starts a session in the background.
func (rt *Runtime) add(ctx context.Context, name string, options session.Options, how origin) error {
	s, err := rt.newSession(name, options, rt.sessions, how)
	if err != nil {
		return err
	}
	intensity, backoff := rt.policy()
	label := name
	if how.spawned {
		label = SpawnedLabel
	}
	spec := rt.child(s, label, intensity, backoff)
	spec.RetryStart = true
	if err := rt.supervisorOf(rt.sessions).AddChild(ctx, spec); err != nil {
		rt.forget(s)
		s.Closing()
		return fmt.Errorf("session %s: %w", name, err)
	}
	return nil
}

// Spawn starts a session and waits until it is ready. If there is state of that name in the data
// directory, its conversation goes on. A session that does not start is not there afterwards; the error
// says why, and is usually a *session.CrashError. Other errors: ErrExists, or what is wrong with the options.
func (rt *Runtime) Spawn(ctx context.Context, name string, options session.Options) (*session.Session, error) {
	return rt.spawn(ctx, name, options, origin{spawned: true})
}

func (rt *Runtime) spawn(ctx context.Context, name string, options session.Options, how origin) (*session.Session, error) {
	s, err := rt.newSession(name, options, rt.sessions, how)
	if err != nil {
		return nil, err
	}
	fresh := s.Info().Generation == 0
	intensity, backoff := rt.policy()
	home := rt.supervisorOf(rt.sessions)
	if _, err := home.StartChild(ctx, rt.child(s, SpawnedLabel, intensity, backoff)); err != nil {
		// It may be there all the same: nobody waited for it any more, or it was stopped while it started.
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		release, gone := rt.alone(stop, s)
		if gone != nil { // somebody has removed it, or is at it
			return nil, err
		}
		defer release()
		if left := discard(stop, home, name); !errors.Is(left, supervisor.ErrStopping) && !errors.Is(left, actor.ErrStopped) {
			err = errors.Join(err, left)
		}
		s.Closing() // somebody may have found it meanwhile, and wait for it
		if fresh {  // it never was; the record of an earlier one is kept
			err = errors.Join(err, s.Forget())
		}
		rt.forget(s) // last: until then nobody else has its name
		return nil, err
	}
	return s, nil
}

// alone is for who takes a session out of the tree: of several who want that, one does it, and the others wait
// and are told ErrNoSession. By then its name may be another's.
func (rt *Runtime) alone(ctx context.Context, s *session.Session) (release func(), err error) {
	gone := fmt.Errorf("%w: %s", ErrNoSession, s.Name())
	m, err := rt.member(s.Name())
	if err != nil || m.Session != s {
		return nil, gone
	}
	select {
	case m.leaving <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("session %s: %w", s.Name(), context.Cause(ctx))
	}
	release = func() { <-m.leaving }
	if now, err := rt.member(s.Name()); err != nil || now != m {
		release()
		return nil, gone
	}
	return release, nil
}

// discard stops a child and deletes it, also if somebody starts it again in between. That it is gone
// is no error.
func discard(ctx context.Context, home *supervisor.Supervisor, name string) error {
	for {
		err := home.TerminateChild(ctx, name)
		if err == nil {
			err = home.DeleteChild(ctx, name)
		}
		switch {
		case errors.Is(err, supervisor.ErrRunning), errors.Is(err, supervisor.ErrRestarting):
			if ctx.Err() != nil {
				return err
			}
		case errors.Is(err, supervisor.ErrNotFound):
			return nil
		default:
			return err
		}
	}
}

// Session returns the session of that name, or ErrNoSession.
func (rt *Runtime) Session(name string) (*session.Session, error) {
	m, err := rt.member(name)
	if err != nil {
		return nil, err
	}
	return m.Session, nil
}

func (rt *Runtime) member(name string) (*member, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	m := rt.known[name]
	if m == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoSession, name)
	}
	return m, nil
}

// Sessions returns all sessions, sorted by name.
func (rt *Runtime) Sessions() []*session.Session {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	all := make([]*session.Session, 0, len(rt.known))
	for _, m := range rt.known {
		all = append(all, m.Session)
	}
	slices.SortFunc(all, func(a, b *session.Session) int { return cmp.Compare(a.Name(), b.Name()) })
	return all
}

// Restart brings a session into a new process whatever it is doing, and waits until it is ready. It does
// not count as a restart, and forgives a failed session. Queued queries are kept. If the session's group has
// ended, the group is restarted.
func (rt *Runtime) Restart(ctx context.Context, name string) error {
	m, err := rt.member(name)
	if err != nil {
		return err
	}
	if err := m.Retire(false); err != nil {
		rt.log.Error().Err(err).Str("session", name).Msg("session state is not on disk")
	}
	home, child := rt.standing(m.home)
	members := []*member{m}
	if child == "" {
		child = name
	} else {
		members = rt.below(home.path + "/" + child)
	}
	var undo []func()
	for _, member := range members {
		undo = append(undo, member.Starting())
	}
	if _, err = rt.supervisorOf(home).RecycleChild(ctx, child); err != nil {
		for _, f := range undo {
			f()
		}
	}
	return err
}

// Stop ends a session. It stays known, and Restart starts it again.
func (rt *Runtime) Stop(ctx context.Context, name string) error {
	m, err := rt.member(name)
	if err != nil {
		return err
	}
	home, err := rt.homeOf(m)
	if err != nil {
		return err
	}
	if err := home.TerminateChild(ctx, name); err != nil {
		return err
	}
	return m.Retire(true)
}

// homeOf is the supervisor of a session. A group that has not come up yet has none.
func (rt *Runtime) homeOf(m *member) (*supervisor.Supervisor, error) {
	if home := rt.supervisorOf(m.home); home != nil {
		return home, nil
	}
	return nil, fmt.Errorf("session %s: its group %s: %w", m.Name(), m.home.name, supervisor.ErrStarting)
}

// Remove stops a session and forgets it, its state on disk included.
func (rt *Runtime) Remove(ctx context.Context, name string) error {
	m, err := rt.member(name)
	if err != nil {
		return err
	}
	home, err := rt.homeOf(m)
	if err != nil {
		return err
	}
	release, err := rt.alone(ctx, m.Session)
	if err != nil {
		return err
	}
	defer release()
	if err := discard(ctx, home, name); err != nil {
		return err
	}
	m.Closing() // somebody may be about to restart it
	err = m.Forget()
	rt.forget(m.Session) // last: until then nobody else has its name
	return err
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
	ends := make(chan error, len(sessions))
	for _, s := range sessions {
		go func() { ends <- s.Drain(ctx) }() // ends with the session's turn, or with ctx
	}
	var err error
	for range sessions {
		if end := <-ends; err == nil {
			err = end
		}
	}
	return err
}

// Shutdown stops the tree: turns are interrupted, processes ended with all they started, the audit log
// closed. It may be called more than once; later calls wait for the first. If the context ends first,
// everything is killed, and the context's error returned.
func (rt *Runtime) Shutdown(ctx context.Context) error {
	rt.stop.Do(func() {
		rt.record(audit.Record{Kind: audit.RuntimeStopped})
		rt.closeSessions()
	})
	err := rt.root.Stop(ctx)
	if err != nil {
		rt.log.Error().Err(err).Msg("shutdown takes too long: killing what is left")
		process.SweepPrefix(rt.id + "/")
		return err
	}
	<-rt.done
	return rt.err
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

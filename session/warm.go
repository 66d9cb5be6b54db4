package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor"
)

// Warm keeps processes of a template waiting for sessions to come: started, with their hooks in place, and never given a
// prompt. The first start of a session whose Spec names it takes one, and is ready in the time that its record takes to be
// written. Without one that waits, or if the one it took does not live, the session starts a process of its own.
//
// What a process cannot be given later is given to it at its start: the directory, the options, and the id of the
// conversation, which becomes the session's. Until it is taken it answers to a name of its own, "~TEMPLATE-N", in the audit
// log and in the marker that its tools carry. It has a place under every limit of the Governor, behind every session that
// needs one: it is the first to make room.
type Warm struct {
	spec   Spec
	given  Options
	count  int
	system *actor.System

	mu    sync.Mutex
	waits []*waiting          // those that can be taken, oldest first
	named map[string]*waiting // by the id of the child
}

// waiting is one process that waits.
type waiting struct {
	id      string
	session *Session            // what it is until it is taken
	process actor.Ref[message]  // the actor that owns it
	holder  actor.Ref[slotWord] // the actor that holds its place in the tree
	seen    []sight
}

const (
	// maxWarm is more than a machine has memory for.
	maxWarm = 1000
	// maxWarmName leaves room for a number: each process has a place of its own in the tree.
	maxWarmName = 60
	// warmAge is how long a process waits before it is replaced. What it was started with, a key for example, may have been
	// changed since without anybody's notice.
	warmAge = time.Hour
)

// NewWarm makes a set of count processes. spec is that of the sessions to come, but for what is theirs alone: Name is the
// template's, Path that of the supervisor which gets Children.
func NewWarm(system *actor.System, spec Spec, count int) (*Warm, error) {
	if !ValidName(spec.Name) || len(spec.Name) > maxWarmName && count > 0 {
		return nil, fmt.Errorf("template name %q: expected up to 60 letters, digits, dots, underscores and dashes, beginning with a letter or digit", spec.Name)
	}
	if count < 0 || count > maxWarm {
		return nil, fmt.Errorf("template %s: warm %d: expected 0 to %d", spec.Name, count, maxWarm)
	}
	if err := spec.Options.Validate(); err != nil {
		return nil, fmt.Errorf("template %s: %w", spec.Name, err)
	}
	if problems := spec.Options.ForWarm(); len(problems) > 0 && count > 0 {
		var all []error
		for _, p := range problems {
			all = append(all, fmt.Errorf("template %s: warm: %w", spec.Name, p))
		}
		return nil, errors.Join(all...)
	}
	given := spec.Options
	spec.Options = given.withDefaults()
	return &Warm{spec: spec, given: given, count: count, system: system, named: make(map[string]*waiting)}, nil
}

// ForWarm is what keeps processes from being started before it is known whose they will be.
func (o Options) ForWarm() []Problem {
	problems := o.ForSeveral()
	add := func(option string, value any, message string) {
		problems = append(problems, Problem{Path: option, Value: fmt.Sprint(value), Combination: true, Message: message})
	}
	if o.ExclusiveCWD && len(problems) == 0 {
		add("exclusive_cwd", true, "a process that waits would be in a directory that is to be one session's own")
	}
	if o.ForkSession {
		add("fork_session", true, "a process that waits has no conversation yet to copy")
	}
	if o.APIKeySource != nil {
		add("api_key_source", "a function", "it is asked with the session's name, which is not known yet; use api_key_file")
	}
	if o.isolated() && !o.NoSessionPersistence {
		add("isolate_home", true, "the HOME is kept under the session's name, which is not known yet; set HOME, or no_session_persistence")
	}
	return problems
}

// Name is the template's name.
func (w *Warm) Name() string { return w.spec.Name }

// Options are the template's options, as they were given.
func (w *Warm) Options() Options { return w.given }

// Count is how many processes are to wait.
func (w *Warm) Count() int { return w.count }

// Fits reports whether sessions of these options may take its processes: whether there is no difference between them and the
// template's. Functions cannot be compared, so options that have any fit nothing.
func (w *Warm) Fits(o Options) bool {
	return w != nil && w.count > 0 && reflect.DeepEqual(w.spec.Options, o.withDefaults())
}

// Info describes the process that waits in the place of that child, and reports whether there is such a child.
func (w *Warm) Info(child string) (Info, bool) {
	w.mu.Lock()
	p := w.named[child]
	w.mu.Unlock()
	if p == nil {
		return Info{}, false
	}
	return p.session.Info(), true
}

// Children are what a supervisor holds: one child for each process that is to wait. One that ends is replaced, after a
// delay that grows, for ever; one that is taken at once, which counts as no restart.
func (w *Warm) Children(intensity supervisor.Intensity, backoff supervisor.Backoff) []supervisor.ChildSpec {
	var all []supervisor.ChildSpec
	for n := range w.count {
		id := fmt.Sprintf("%s-%d", w.spec.Name, n+1)
		turn := 0 // touched by one start at a time
		all = append(all, supervisor.ChildSpec{
			ID: id, Label: w.spec.Name, Restart: supervisor.Permanent, Shutdown: supervisor.Within(5 * time.Second), RetryStart: true,
			Intensity: &intensity, OnExhausted: supervisor.Slow, Backoff: &backoff,
			Start: func(ctx context.Context) (actor.PID, error) {
				turn++
				return w.start(ctx, id, turn)
			},
		})
	}
	return all
}

// waited counts the processes that this program has started to wait.
var waited atomic.Uint64

// start brings up one process and the actor that holds its place.
func (w *Warm) start(ctx context.Context, id string, turn int) (actor.PID, error) {
	spec := w.spec
	// Its actor keeps that name in the session that takes it, be the template another by then.
	spec.Name, spec.Path = "~"+id, fmt.Sprintf("%s/%s/process-%d", w.spec.Path, id, waited.Add(1))
	spec.waiting, spec.StateDir, spec.Budgets, spec.OnMoment, spec.Warm, spec.Spawned = true, "", nil, nil, nil, false
	// No two of them have the same marker: a sweep for one must not find what another has started.
	s := newSession(w.system, spec, record{Version: recordVersion, Name: spec.Name, SessionID: uuid.NewString(), Generation: turn - 1})
	p := &waiting{id: id, session: s, seen: w.look()}
	w.mu.Lock()
	w.named[id] = p
	w.mu.Unlock()
	_, err := s.Start(ctx)
	if err != nil {
		// Not to be taken for final: what is wrong may be mended, and nobody restarts what has no name.
		return actor.PID{}, fmt.Errorf("a process to wait: %v", err)
	}
	p.process = s.desk.current()
	p.holder, err = actor.Spawn(w.system, actor.Spec{Name: fmt.Sprintf("%s/%s", w.spec.Path, id)}, &slot{warm: w, waiting: p})
	if err != nil {
		p.process.Kill()
		<-p.process.Done()
		return actor.PID{}, err
	}
	// Here, and not when the actor has begun: whoever is told that it is up can take it.
	w.mu.Lock()
	w.waits = append(w.waits, p)
	w.mu.Unlock()
	return p.holder.PID, nil
}

// take gives away a process that waits, if there is one.
func (w *Warm) take(ctx context.Context) (actor.Ref[message], string, bool) {
	for w != nil {
		w.mu.Lock()
		if len(w.waits) == 0 {
			w.mu.Unlock()
			break
		}
		p := w.waits[0]
		w.waits = slices.Delete(w.waits, 0, 1)
		w.mu.Unlock()
		if !slices.EqualFunc(p.seen, w.look(), sight.same) {
			_ = p.holder.Send(stale{}) // one that has ended is replaced already
			continue
		}
		given, err := actor.Ask(ctx, p.holder, func(r actor.Reply[actor.Ref[message]]) slotWord { return handOver{r} })
		if err == nil {
			return given, p.session.name, true
		}
		if ctx.Err() != nil {
			break
		}
	}
	return actor.Ref[message]{}, "", false
}

// sight is a file as it was when a process was started with it.
type sight struct {
	path string
	info os.FileInfo // nil: it was not there
}

func (s sight) same(t sight) bool {
	switch {
	case s.path != t.path || (s.info == nil) != (t.info == nil):
		return false
	case s.info == nil:
		return true
	case s.info.IsDir():
		return os.SameFile(s.info, t.info)
	}
	return os.SameFile(s.info, t.info) && s.info.Size() == t.info.Size() && s.info.ModTime().Equal(t.info.ModTime())
}

// look looks at the files that a start reads: a process that was started before one of them changed is not what a session
// asks for.
func (w *Warm) look() []sight {
	o := w.spec.Options
	program, err := process.Launch{Path: w.spec.CLI.Path, Env: o.Env, InheritEnv: o.InheritEnv, Marker: w.spec.Name}.Program()
	if err != nil { // there is none to compare with
		program = w.spec.CLI.Path
	}
	paths := []string{program, o.CWD, o.APIKeyFile, o.Settings.Path, o.MCPConfig}
	if o.APIKeyCredential != "" {
		paths = append(paths, filepath.Join(os.Getenv(CredentialsDirectory), o.APIKeyCredential))
	}
	for _, file := range o.ClaudeMD {
		if !filepath.IsAbs(file) {
			file = filepath.Join(o.CWD, file)
		}
		paths = append(paths, file)
	}
	var seen []sight
	for _, path := range paths {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		seen = append(seen, sight{path, info})
	}
	return seen
}

// slot is the actor that holds the place of a process in the tree while it waits.
type slot struct {
	warm    *Warm
	waiting *waiting
	link    *actor.Link
	monitor *actor.Monitor
	reason  error // why the process is being ended
}

// slotWord is what it receives.
//
//sumtype:decl
type slotWord interface{ isSlotWord() }

type (
	handOver struct { // to a session
		reply actor.Reply[actor.Ref[message]]
	}
	stale  struct{} // what it was started with is not what it would be started with now
	ceased struct{ reason error }
)

func (handOver) isSlotWord() {}
func (stale) isSlotWord()    {}
func (ceased) isSlotWord()   {}

// Started ties the process to the slot.
func (s *slot) Started(c *actor.Context[slotWord]) error {
	s.link = c.Self().Link(s.waiting.process.PID)
	s.monitor = c.Monitor(s.waiting.process.PID, func(d actor.Down) slotWord { return ceased{d.Reason} })
	c.After(warmAge, stale{})
	return nil
}

// Receive handles one message.
func (s *slot) Receive(c *actor.Context[slotWord], m slotWord) {
	switch m := m.(type) {
	case handOver:
		if s.reason != nil {
			m.reply.Fail(errNotWaiting)
			return
		}
		s.link.Cut()
		s.monitor.Stop()
		m.reply.Send(s.waiting.process)
		c.Exit(supervisor.ErrRecycle)
	case stale:
		s.end(supervisor.ErrRecycle)
	case ceased:
		switch {
		case s.reason != nil:
			c.Exit(s.reason)
		case actor.Clean(m.reason): // it has made room for somebody
			c.Exit(supervisor.ErrRecycle)
		default:
			c.Exit(m.reason)
		}
	}
}

// Exiting ends the process in order.
func (s *slot) Exiting(_ *actor.Context[slotWord], reason error) {
	s.reason = nil
	s.end(cmp.Or(reason, actor.ErrShutdown))
}

// Stopped has the process found no more.
func (s *slot) Stopped(*actor.Context[slotWord], error) {
	s.hide()
	w := s.warm
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.named[s.waiting.id] == s.waiting {
		delete(w.named, s.waiting.id)
	}
}

func (s *slot) hide() {
	w := s.warm
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits = slices.DeleteFunc(w.waits, func(p *waiting) bool { return p == s.waiting })
}

func (s *slot) end(reason error) {
	if s.reason != nil {
		return
	}
	s.reason = reason
	s.hide()
	s.waiting.process.Stop(actor.ErrShutdown)
}

var errNotWaiting = errors.New("the process does not wait any more")

// takeWarm gives a session that starts for the first time a process that waits, if there is one that fits.
func (s *Session) takeWarm(ctx context.Context) bool {
	kept, _ := s.desk.snapshot()
	if s.spec.Warm == nil || kept.Generation > 0 || kept.Begun || kept.Joined || s.spec.Options.SessionID != "" || s.spec.Options.joins() {
		return false
	}
	ref, from, ok := s.spec.Warm.take(ctx)
	if !ok {
		return false
	}
	s.desk.mu.Lock()
	s.desk.actor = ref
	s.desk.mu.Unlock()
	if _, err := actor.Ask(ctx, ref, func(r actor.Reply[struct{}]) message { return adopt{s, from, r} }); err != nil {
		ref.Kill()
		return false
	}
	return true
}

// waitForSession is called when a process that is to wait has answered the handshake.
func (l *loop) waitForSession(c *actor.Context[message]) {
	l.desk.update(func(_ *record, info *Info) { info.State = Waiting })
	self := c.Self()
	if l.session.spec.Governor.spare(l, func() { _ = self.Send(hibernate{}) }) { // one that has ended needs no room
		l.makeRoom(c)
	}
}

// makeRoom ends a process that waits, for a session that needs the room.
func (l *loop) makeRoom(c *actor.Context[message]) {
	l.getUp()
	l.stopping = true
	l.endProcess(c)
}

// onAdopt gives the process, and with it the actor, to a session.
func (l *loop) onAdopt(c *actor.Context[message], m adopt) {
	if !l.session.spec.waiting || !l.ready || l.process == nil || l.stopping || l.laddered || l.cause != nil || l.finished {
		m.reply.Fail(errNotWaiting)
		return
	}
	from, s, p := l.session, m.session, l.process
	l.getUp()
	from.desk.mu.Lock()
	answer, was := from.desk.started, from.desk.info
	from.desk.mu.Unlock()

	l.session, l.options, l.desk, l.account = s, s.spec.Options, s.desk, account(s.spec.Options)
	l.owner.Store(s)
	l.attend(c)
	s.alive.enter()
	go func() { // ends with the process
		<-p.Done()
		s.alive.leave()
	}()
	l.desk.update(func(r *record, info *Info) {
		r.Generation++
		r.SessionID = was.SessionID
		r.Ledger.begin(false)
		l.record = *r
		info.State, info.Generation, info.SessionID, info.Tool, info.ToolArg = Starting, r.Generation, r.SessionID, "", ""
		info.PID, info.StartedAt, info.Containment, info.Mode = p.PID(), was.StartedAt, was.Containment, was.Mode
	})
	l.log = s.spec.Logger.With().Str("session", s.name).Int("generation", l.record.Generation).Logger()
	l.desk.mu.Lock()
	l.desk.stderr = p.Stderr
	l.desk.mu.Unlock()
	l.listenTo(heardStderr(l.desk, l.record.Generation, l.options.Stderr, l.log))
	l.ready, l.heard, l.waitedAs = false, time.Now(), m.from
	m.reply.Send(struct{}{})
	l.tellStarted(p)
	l.auditStarted(l.program)
	l.command = command{}
	l.keeper.save(c, l, func(c *actor.Context[message]) {
		if l.process != nil && !l.stopping && l.cause == nil { // else its end is reported
			l.becomeReady(c, answer)
		}
	})
}

// attend has what waits for the actor's present session ended with it: an actor that is killed, or panics, ends without
// having answered. One that is killed in the middle of a message goes on with that, although its context has ended: what
// is the actor's own is looked at when it has returned.
func (l *loop) attend(c *actor.Context[message]) {
	if l.unattend != nil {
		l.unattend()
	}
	session, desk, ended := l.session, l.desk, c.Self().Done()
	desk.attended.enter()
	stop := context.AfterFunc(l.over, func() {
		defer desk.attended.leave()
		desk.orphan(l)
		session.orphanApprovals(l)
		session.spec.Governor.stirring(l)
		<-ended
		if l.session == session { // else it was killed while it went over to another, which has this too
			l.bereaved()
		}
	})
	l.unattend = func() {
		if stop() {
			desk.attended.leave()
		}
	}
}

// listenTo says who hears what the process writes to stderr from now on.
func (l *loop) listenTo(heard func(string)) { l.ear.Store(&heard) }

// newSession makes a session of a record.
func newSession(system *actor.System, spec Spec, kept record) *Session {
	if spec.Scratch == nil {
		dataDir := ""
		if spec.StateDir != "" {
			dataDir = filepath.Dir(spec.StateDir)
		}
		spec.Scratch = NewScratch(dataDir)
	}
	s := &Session{name: spec.Name, spec: spec, system: system, store: store{spec.StateDir}}
	s.desk = &desk{
		record: kept, maxQueue: spec.Options.MaxQueue, watchers: make(map[*watcher]struct{}), followers: make(map[*follower]struct{}), onMoment: spec.OnMoment, label: spec.Label,
		info: Info{
			Restarts: kept.Restarts,
			Name:     spec.Name, State: Starting, Since: time.Now(), SessionID: kept.SessionID,
			Generation: kept.Generation, Model: spec.Options.Model, Mode: string(spec.Options.PermissionMode),
			CWD: spec.Options.CWD, Turns: kept.Turns, CostUSD: kept.Ledger.Spent, Budget: spec.Options.MaxBudgetUSD,
			Budgets: slices.Clone(spec.Options.Budgets), Ephemeral: spec.Options.NoSessionPersistence,
		},
	}
	return s
}

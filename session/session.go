package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// CLI says which program a session runs.
type CLI struct {
	Path string   // a path, or a name on PATH; empty means "claude"
	Args []string // before the CLI's own flags, for a program that runs the CLI, or simulates it
}

// Spec is a session to be made: its options, and what it works with.
type Spec struct {
	Name    string // see ValidName
	Options Options
	CLI     CLI

	// Path is the actor's name; empty means "sessions/" and Name.
	Path string
	// Label is what the session is counted under where there may be only few names, as in metrics: the same for all of
	// a pool. Empty means Name.
	Label string
	// Runtime identifies the program that holds the session, in the marker that its processes carry.
	Runtime string
	// StateDir is where the session's record is kept; empty keeps it in memory only.
	StateDir string
	// Ledger lists on disk what the session's processes start, where nothing better ends it when this program is killed.
	// nil: nothing does.
	Ledger *process.Ledger
	// Scratch makes the directories for the processes' temporary files. nil: one of the session's own does.
	Scratch *Scratch
	// Governor holds the session and its siblings to limits; nil: there are none.
	Governor *Governor
	// Spawned has the options kept in the record, so that another program can start the session: see Stored.
	Spawned bool
	// Enter is called before each start of a process, when the directories have been looked at, and may keep it from starting. It may
	// take its time. nil: nothing does.
	Enter func() error
	// Budgets are those that Options.Budgets names.
	Budgets []*Budget
	// Warm has processes that wait for sessions of these options; nil: there are none. Their options must be the same: see
	// Warm.Fits.
	Warm *Warm
	// Env is what the runtime itself wants in the CLI's environment; Options.Env comes before it.
	Env map[string]string
	// Audit gets every tool use, and holds each up until its intent is durable. nil: nobody does.
	Audit *audit.Trail
	// OnMoment, if not nil, is told each moment of the session's life, from whatever goroutine it happens in. It
	// must return at once, and not call the session.
	OnMoment func(Moment)
	// Logger gets the session's life at info, what it recovered from at warn, frames' kinds at debug.
	Logger zerolog.Logger

	waiting bool // it is a process that waits to become a session
}

// Session is the handle of a session. It stays valid while the session's process, and the actor that owns
// it, are restarted.
type Session struct {
	name   string
	spec   Spec
	system *actor.System
	store  store
	desk   *desk
	alive  presence // its processes, until they and what they started are gone

	filing   sync.Mutex // held by who writes the record, and by who removes it
	settling presence   // writes of the record with no actor behind them
}

// New makes a session without starting it: give its Start to a supervisor. If there is a record of it in
// StateDir it goes on from there. An error is either in the options, and wraps nothing else, or a
// *StateError, beside which the session is usable.
func New(system *actor.System, spec Spec) (*Session, error) {
	if !ValidName(spec.Name) {
		return nil, fmt.Errorf("session name %q: expected up to 64 letters, digits, dots, underscores and dashes, beginning with a letter or digit", spec.Name)
	}
	if err := spec.Options.Validate(); err != nil {
		return nil, fmt.Errorf("session %s: %w", spec.Name, err)
	}
	spec.Options = spec.Options.withDefaults()
	spec.Label = cmp.Or(spec.Label, spec.Name)
	if spec.Path == "" {
		spec.Path = "sessions/" + spec.Name
	}
	kept, err := store{spec.StateDir}.load(spec.Name)
	if kept.Generation == 0 && spec.Options.SessionID != "" {
		kept.SessionID = spec.Options.SessionID
	}
	if kept.Generation == 0 && spec.Options.joins() && !spec.Options.ForkSession {
		if _, bad := uuid.Parse(spec.Options.Resume); bad == nil {
			kept.SessionID = spec.Options.Resume
		}
	}
	if err != nil {
		err = &StateError{Session: spec.Name, Cause: err}
	}
	s := newSession(system, spec, kept)
	for _, b := range spec.Budgets {
		if kept.Budgets != nil && !slices.Contains(kept.Budgets, b.Name()) {
			b.join(spec.Name, kept.kept().CostUSD)
		}
	}
	s.recovered(kept, err)
	kept, _ = s.desk.snapshot()
	for _, b := range spec.Budgets {
		b.count(spec.Name, kept.Ledger.Spent)
	}
	return s, err
}

// StateError says that a session's record could not be read. The session begins anew.
type StateError struct {
	Session string
	Cause   error
}

func (e *StateError) Error() string { return e.Cause.Error() }

// Unwrap gives the cause.
func (e *StateError) Unwrap() error { return e.Cause }

// Name is the session's name.
func (s *Session) Name() string { return s.name }

// Start starts one incarnation and returns when it is ready: a new conversation the first time, the same
// one again after that. It is a supervisor's to call (supervisor.ChildSpec.Start). If it fails, nothing is
// left running; the error is usually a *CrashError.
func (s *Session) Start(ctx context.Context) (actor.PID, error) {
	// The last one's process may outlive its actor, if that was killed.
	if err := s.awaitGone(ctx); err != nil {
		return actor.PID{}, fmt.Errorf("start session %s: the process of the last generation is still there: %w", s.name, err)
	}
	select {
	case <-s.desk.attended.absent():
	case <-ctx.Done():
		return actor.PID{}, fmt.Errorf("start session %s: the last generation's end is not accounted for: %w", s.name, context.Cause(ctx))
	}
	if s.takeWarm(ctx) {
		if pid, err := s.started(ctx, s.desk.current()); err == nil || ctx.Err() != nil {
			return pid, err
		}
		// It has died in these milliseconds. That is not the session's doing: it gets a process of its own.
	}
	ref, err := actor.Spawn(s.system, actor.Spec{Name: s.spec.Path}, newLoop(s))
	if err != nil {
		return actor.PID{}, err
	}
	s.desk.mu.Lock()
	s.desk.actor = ref
	s.desk.mu.Unlock()
	return s.started(ctx, ref)
}

// started waits until an incarnation is ready. If it does not get there, nothing is left of it.
func (s *Session) started(ctx context.Context, ref actor.Ref[message]) (actor.PID, error) {
	if _, err := actor.Ask(ctx, ref, func(r actor.Reply[struct{}]) message { return awaitReady{r} }); err != nil {
		if errors.Is(err, actor.ErrStopped) {
			<-ref.Done()
		} else {
			_, was := s.desk.snapshot()
			ref.Kill() // its process goes with it
			select {
			case <-ref.Done():
			case <-time.After(10 * time.Second):
			}
			if was.PID != 0 && errors.Is(ref.Reason(), actor.ErrKilled) { // it cannot say so itself any more
				s.record(audit.Record{Kind: audit.SessionStopped, Detail: map[string]any{"reason": "its start was given up"}})
			}
		}
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = s.awaitGone(rest) // the next start waits again
		if reason := ref.Reason(); reason != nil && !errors.Is(reason, actor.ErrKilled) {
			return actor.PID{}, reason
		}
		return actor.PID{}, fmt.Errorf("start session %s: %w", s.name, err)
	}
	return ref.PID, nil
}

// awaitGone waits for the processes that the session has had.
func (s *Session) awaitGone(ctx context.Context) error {
	select {
	case <-s.alive.absent():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ChildSpec is how a supervisor holds the session: restarted by its Options, with an intensity of its
// own, parked when that is exhausted.
func (s *Session) ChildSpec(intensity supervisor.Intensity, backoff supervisor.Backoff) supervisor.ChildSpec {
	return supervisor.ChildSpec{
		ID: s.name, Label: s.spec.Label, Start: s.Start, Restart: s.spec.Options.Restart, Shutdown: s.spec.Options.Shutdown,
		Intensity: &intensity, OnExhausted: supervisor.Fail, Backoff: &backoff,
	}
}

// Supervised tells the session what its supervisor decided about it: queries wait through a restart, and
// are refused when there will be none. Call it with every event about the session, in order.
func (s *Session) Supervised(e supervisor.Event) {
	_, was := s.desk.snapshot()
	defer s.desk.told(was.State, e.Reason)
	exit := func(info *Info) {
		if e.Reason != nil {
			info.LastExit = &Exit{At: e.Time, Reason: e.Reason}
		}
	}
	switch e.Kind {
	case supervisor.ChildStarted:
		_ = s.desk.open()
		s.desk.update(func(_ *record, info *Info) { info.Reason, info.NextTry = nil, time.Time{} })
		_ = s.desk.current().Send(wake{}) // a full mailbox means that it is awake
	case supervisor.RestartScheduled:
		_ = s.desk.open() // a start on request that failed may have closed it
		s.desk.update(func(r *record, info *Info) {
			r.Restarts++
			info.Restarts = r.Restarts
			info.State, info.NextTry, info.PID = Restarting, e.Time.Add(e.Delay), 0
			exit(info)
		})
		if e.Delay > saveSoon { // else what is about to be started has it on disk before there is a process
			s.aside()
		}
	case supervisor.ChildParked:
		s.desk.update(func(_ *record, info *Info) {
			info.State, info.Reason, info.PID, info.NextTry = Failed, e.Reason, 0, time.Time{}
			exit(info)
		})
		s.close(fmt.Errorf("session %s: %w: %w", s.name, ErrFailed, e.Reason))
		s.aside()
	case supervisor.ChildStopped:
		if e.Again || e.Ending { // queries wait for what comes next, or for somebody to say that nothing will
			s.desk.update(func(_ *record, info *Info) { info.State, info.PID = Restarting, 0 })
			return
		}
		s.desk.update(func(_ *record, info *Info) {
			info.State, info.PID, info.NextTry = Stopped, 0, time.Time{}
		})
		s.close(fmt.Errorf("session %s: %w", s.name, ErrStopped))
	case supervisor.StartFailed, supervisor.ChildExited:
		s.desk.update(func(_ *record, info *Info) { info.PID = 0; exit(info) })
	case supervisor.Escalated: // its supervisor ends, and what is above decides
		s.desk.update(func(_ *record, info *Info) { info.State, info.PID = Restarting, 0; exit(info) })
	case supervisor.ChildKilled:
	default: // about its supervisor
	}
}

// close has no query taken from now on, and ends those that wait, with that error.
func (s *Session) close(err error) {
	for _, q := range s.desk.close(err) {
		s.ended(q, err)
	}
}

// Closing tells the session that it is being stopped for good: queries that wait end with ErrStopped, new
// ones are refused. What an earlier runtime has left (Options.Redeliver) is left to the next one; see Settle.
func (s *Session) Closing() {
	s.desk.end()
	s.close(fmt.Errorf("session %s: %w", s.name, ErrStopped))
	s.desk.update(func(_ *record, info *Info) {
		if info.State == Restarting { // nobody will
			info.State, info.NextTry = Stopped, time.Time{}
		}
	})
}

// Starting tells the session that it is about to be started by request, so that queries wait for it. If the
// request fails, undo has things as they were, unless something has happened since.
func (s *Session) Starting() (undo func()) {
	_, was := s.desk.snapshot()
	closed := s.desk.open()
	s.desk.update(func(_ *record, info *Info) { info.State, info.Reason = Starting, nil })
	return func() {
		s.desk.update(func(_ *record, info *Info) {
			if info.State == Starting {
				info.State, info.Reason = was.State, was.Reason
			}
			if info.State == Restarting {
				closed = nil // its supervisor goes on trying
			}
		})
		if closed != nil {
			s.close(closed)
		}
	}
}

// Interrupt ends the running turn, whoever's it is: its query gets an error that is ErrInterrupted. On an
// idle session it does nothing. It returns when the CLI has acknowledged it.
func (s *Session) Interrupt(ctx context.Context) error {
	_, err := actor.Ask(ctx, s.desk.current(), func(r actor.Reply[struct{}]) message { return interrupt{r} })
	return s.notRunning(err)
}

// SetModel changes the model from the next turn on, and after restarts. Empty is the CLI's default.
func (s *Session) SetModel(ctx context.Context, model string) error {
	body := &protocol.SetModel{Model: &model}
	if model == "" { // it takes no empty name
		body.Model = nil
	}
	_, err := s.Control(ctx, body)
	if err == nil {
		s.desk.update(func(r *record, info *Info) {
			r.Model, r.ModelChosen, info.Model = model, true, model
		})
		s.keep(ctx)
	}
	return err
}

// SetPermissionMode changes the permission mode, also after restarts. bypassPermissions is refused where the options
// do not allow it.
func (s *Session) SetPermissionMode(ctx context.Context, mode protocol.PermissionMode) error {
	_, err := s.Control(ctx, &protocol.SetPermissionMode{Mode: mode})
	if err == nil {
		s.desk.update(func(r *record, info *Info) { r.PermissionMode, info.Mode = mode, string(mode) })
		s.keep(ctx)
	}
	return err
}

// keep waits until the record is on disk. If there is no actor, the next one writes it when it starts.
func (s *Session) keep(ctx context.Context) {
	_, _ = actor.Ask(ctx, s.desk.current(), func(r actor.Reply[struct{}]) message { return keep{r} })
}

// Control sends a control request to the CLI and returns its answer. It takes Options.ControlTimeout at
// most. A request that the CLI refuses is a *protocol.ControlError; one that would take back what the options promise is not
// sent, see ErrLooser.
func (s *Session) Control(ctx context.Context, body protocol.ControlBody) (*protocol.ControlResponse, error) {
	if err := s.spec.Options.mayAsk(body); err != nil {
		return nil, fmt.Errorf("session %s: %w", s.name, err)
	}
	response, err := actor.Ask(ctx, s.desk.current(), func(r actor.Reply[*protocol.ControlResponse]) message {
		return control{body, r}
	})
	if err != nil {
		return nil, s.notRunning(err)
	}
	return response, response.Err()
}

func (s *Session) notRunning(err error) error {
	if errors.Is(err, actor.ErrStopped) {
		return fmt.Errorf("session %s: %w", s.name, ErrNotRunning)
	}
	return err
}

// Leaving tells the session that it is being stopped to be forgotten: its record is not written any more. stay takes that back, when
// it came to nothing.
func (s *Session) Leaving() (stay func(context.Context) error) {
	set := func(removing bool) {
		s.desk.mu.Lock()
		defer s.desk.mu.Unlock()
		s.desk.removing = removing
	}
	set(true)
	return func(ctx context.Context) error {
		set(false)
		ref := s.desk.current()
		_, err := actor.Ask(ctx, ref, func(r actor.Reply[struct{}]) message { return keep{r} })
		if errors.Is(err, actor.ErrStopped) { // nobody else writes it
			kept, _ := s.desk.snapshot()
			return s.file(kept)
		}
		return err
	}
}

// file writes the record, unless it is being removed, or was: an actor that was killed may have begun before that, and would bring
// the session back.
func (s *Session) file(r record) error {
	s.filing.Lock()
	defer s.filing.Unlock()
	return s.fileLocked(r)
}

func (s *Session) fileLocked(r record) error {
	if s.desk.leaving() {
		return nil
	}
	if err := s.store.save(r); err != nil {
		return err
	}
	s.desk.update(func(*record, *Info) { s.desk.filed = r.filed() })
	return nil
}

// aside settles while there is no actor to write the record: a supervisor does not wait for a disk.
func (s *Session) aside() {
	s.settling.enter()
	go func() { // ends with its write
		defer s.settling.leave()
		if err := s.settle(); err != nil {
			s.notice(NoticeStateUnsaved, err.Error(), nil)
		}
	}()
}

// Settle has on disk what is queued of a session that is not running, how often it was restarted, and what it has spent: nothing that somebody was told to have
// ended, or the next runtime would run it. While it runs, its actor does that.
func (s *Session) Settle() error {
	if !s.desk.current().Alive() {
		<-s.desk.attended.absent() // what it left is accounted for first: see bereaved
	}
	<-s.settling.absent()
	return s.settle()
}

func (s *Session) settle() error {
	s.filing.Lock()
	defer s.filing.Unlock()
	kept, _ := s.desk.snapshot()
	kept.Queue = s.desk.queued(s.spec.Options.Redeliver)
	s.desk.mu.Lock()
	there := s.desk.filed
	s.desk.mu.Unlock()
	if now := kept.filed(); now.restarts == there.restarts && now.spent == there.spent && slices.Equal(now.prompts, there.prompts) {
		return nil
	}
	return s.fileLocked(kept)
}

// Forget removes what StateDir holds of the session, which must not be running. A process whose actor was killed, or whose end takes
// long, is waited for: another session of that name would begin with the same generation, and be taken for what that process has left.
// If ctx ends before, nothing is removed, and Forget may be called again.
func (s *Session) Forget(ctx context.Context) error {
	if err := s.awaitGone(ctx); err != nil {
		return fmt.Errorf("session %s: what it has started has not ended: %w", s.name, err)
	}
	select {
	case <-s.desk.attended.absent(): // what it has spent is known then
	case <-ctx.Done():
		return fmt.Errorf("session %s: its end is not accounted for: %w", s.name, context.Cause(ctx))
	}
	_ = s.Leaving() // for good
	for _, b := range s.spec.Budgets {
		b.leave(s.name)
	}
	<-s.settling.absent()
	s.desk.mu.Lock()
	lost := len(s.desk.left)
	s.desk.left = nil
	s.desk.mu.Unlock()
	if lost > 0 {
		s.notice(NoticeQueueLost, fmt.Sprintf("%d prompts of an earlier runtime are forgotten with the session", lost), map[string]any{"lost": lost, "kept": 0})
	}
	s.filing.Lock()
	defer s.filing.Unlock()
	if err := s.store.forget(s.name); err != nil {
		return err // what is left of it has its conversation still
	}
	return s.forgetHome()
}

// environment is what is set in the CLI's environment.
func (s *Session) environment(o Options) map[string]string {
	if len(s.spec.Env) == 0 {
		return o.Env
	}
	env := maps.Clone(s.spec.Env)
	maps.Copy(env, o.Env)
	return env
}

// launch is what the next process of the session is started with.
func (s *Session) launch(r record) process.Launch {
	o := s.spec.Options
	l := process.Launch{
		Path: s.spec.CLI.Path, PrefixArgs: s.spec.CLI.Args, Dir: o.CWD,
		Model: o.Model, FallbackModel: o.FallbackModel, Agent: o.Agent,
		Thinking: string(o.Thinking.Type), ThinkingDisplay: string(o.Thinking.Display), MaxThinkingTokens: o.MaxThinkingTokens,
		Effort: string(o.Effort), Betas: o.Betas, TaskBudget: o.TaskBudget,
		SystemPrompt: short(o.SystemPrompt), AppendSystemPrompt: short(o.AppendSystemPrompt),
		AppendSubagentSystemPrompt: o.AppendSubagentSystemPrompt,
		AddDir:                     o.AddDir, ProjectConfigRoot: o.ProjectConfigRoot, Files: o.File, PermissionMode: string(o.PermissionMode),
		SkipPermissions: o.DangerouslySkipPermissions, AllowSkipPermissions: o.AllowDangerouslySkipPermissions,
		AllowedTools: slices.Concat(o.AllowedTools, o.skillRules()), DisallowedTools: o.DisallowedTools, Tools: o.Tools,
		MaxTurns: o.MaxTurns, NoSessionPersistence: o.NoSessionPersistence,
		Settings: o.Settings.Values, SettingsPath: o.Settings.Path,
		ManagedSettings: o.ManagedSettings,
		MCPConfig:       o.MCPConfig, OtherMCPServers: o.StrictMCPConfig != nil && !*o.StrictMCPConfig,
		IncludePartialMessages: o.IncludePartialMessages, IncludeHookEvents: o.IncludeHookEvents,
		ReplayUserMessages: o.ReplayUserMessages, DisableSlashCommands: o.DisableSlashCommands,
		FileCheckpointing: o.EnableFileCheckpointing, QuestionPreview: o.ToolConfig.AskUserQuestion.PreviewFormat, MaxSubagents: o.MaxSubagents,
		Debug: o.Debug.On, DebugFilter: o.Debug.Value, DebugFile: o.DebugFile,
		PermissionPromptStdio: o.asksHost(), PermissionPromptsNone: o.PermissionPrompts == PromptsNone,
		PermissionPromptTool: o.PermissionPromptTool,
		ExtraArgs:            o.ExtraArgs, Containment: o.Containment, Limits: o.Limits, Launcher: o.launcher(),
		Env: s.environment(o), InheritEnv: o.InheritEnv, APIKey: o.shownKey(), APIKeyFD: o.APIKeyDelivery == DeliverFD,
		Marker: fmt.Sprintf("%s/%s/%d", s.spec.Runtime, s.name, r.Generation),
	}
	if schema, err := o.schema(); err == nil { // Validate has seen to that
		l.JSONSchema = short(schema)
	}
	for _, p := range o.Plugins {
		l.Plugins = append(l.Plugins, process.Plugin{Path: p.Path, NoMCP: p.SkipMCPDiscovery})
	}
	if o.Worktree.On {
		l.Worktree = cmp.Or(o.Worktree.Value, s.name) // without a name the CLI makes another one at each start
	}
	if o.Thinking.BudgetTokens > 0 {
		l.MaxThinkingTokens = &o.Thinking.BudgetTokens
	}
	o.conversation(r, &l)
	switch {
	case r.ModelChosen && r.Model == "":
		l.Model = defaultModel
	case r.Model != "":
		l.Model = r.Model
	}
	if r.PermissionMode != "" && o.mayBypass(r.PermissionMode) == nil { // the options may be others by now
		l.PermissionMode = string(r.PermissionMode)
	}
	o.secure(&l)
	if o.MaxBudgetUSD > 0 {
		// The CLI counts from the process's start and takes no zero. When nothing is left, queries are
		// refused before they reach it; this is for turns it starts by itself.
		left := max(o.MaxBudgetUSD-r.Ledger.Spent, smallestBudget)
		l.MaxBudgetUSD = &left
	}
	return l
}

// defaultModel is the CLI's name for its default. Without a name a resumed conversation goes on with the model it had.
const defaultModel = "default"

const smallestBudget = 0.000001

// short is a text that fits into an argument; a longer one travels in the handshake.
func short(text string) string {
	if len(text) >= longText {
		return ""
	}
	return text
}

// asksHost reports whether permission questions come to this program.
func (o Options) asksHost() bool {
	return o.PermissionPrompts != PromptsNone && o.PermissionPromptTool == ""
}

// conversation says which conversation the next process has. Until the first one has begun a turn, the options that
// name another conversation to go on with are in force; from then on it is the session's own.
func (o Options) conversation(r record, l *process.Launch) {
	if o.joins() && !r.Joined {
		l.ResumeFrom, l.Continue, l.FromPR, l.Fork = o.Resume, o.Continue, o.FromPR, o.ForkSession
		l.ResumeAt, l.ResumeDropsTurn = o.ResumeSessionAt, o.ResumeDropsTurn
		if o.ForkSession {
			l.SessionID = r.SessionID
		}
		return
	}
	l.SessionID, l.Resume = r.SessionID, r.Begun && !o.NoSessionPersistence
}

// joins reports whether the session goes on with a conversation that is not its own.
func (o Options) joins() bool { return o.Resume != "" || o.Continue || o.FromPR != "" }

// Launch is what the session's next process would be started with, for showing: printing it shows no
// secrets.
func (s *Session) Launch() process.Launch {
	r, _ := s.desk.snapshot()
	r.Generation++
	return s.launch(r)
}

// Label is Spec.Label.
func (s *Session) Label() string { return s.spec.Label }

// Options are the session's options, with every default filled in.
func (s *Session) Options() Options { return s.spec.Options }

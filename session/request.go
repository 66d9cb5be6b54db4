package session

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/understudy-run/understudy/session/protocol"
)

// The methods here ask the running CLI, also during a turn. They take Options.ControlTimeout at most, less if ctx ends before, and
// fail with ErrNotRunning while there is no process. What the CLI refuses is a *protocol.ControlError. What has no method is the
// runtime's own business, and can be sent with Control.

// ask sends a request and reads its answer.
func ask[R any](ctx context.Context, s *Session, body protocol.ControlBody) (*R, error) {
	response, err := s.Control(ctx, body)
	if err != nil {
		return nil, err
	}
	var r R
	if err := response.Unmarshal(&r); err != nil {
		return nil, fmt.Errorf("session %s: %s: %w", s.name, body.RequestSubtype(), err)
	}
	return &r, nil
}

// SetMaxThinkingTokens bounds the model's thinking from the next turn on, and after restarts: 0 for none, nil for no bound. It is for models
// up to 4.5, which have a budget for it; CLI 2.1.330 takes it for later ones as well, and they think as they see fit.
func (s *Session) SetMaxThinkingTokens(ctx context.Context, tokens *int) error {
	return s.change(ctx, &protocol.SetMaxThinkingTokens{MaxThinkingTokens: tokens}, func(r *record) { r.Thinking = &thinkingSet{tokens} })
}

// ContextUsage is what fills the context: protocol.ContextSummary, or protocol.ContextFull, for which the API counts.
func (s *Session) ContextUsage(ctx context.Context, detail string) (*protocol.ContextUsageResponse, error) {
	return ask[protocol.ContextUsageResponse](ctx, s, &protocol.GetContextUsage{Detail: detail})
}

// RewindFiles puts files back to what they were at a prompt, by its uuid; dryRun only says what would change. It needs Options.EnableFileCheckpointing.
func (s *Session) RewindFiles(ctx context.Context, prompt string, dryRun bool) (*protocol.RewindFilesResponse, error) {
	return ask[protocol.RewindFilesResponse](ctx, s, &protocol.RewindFiles{UserMessageID: prompt, DryRun: dryRun})
}

// StopTask ends a background task. One that does not exist is no error: the CLI does not tell.
func (s *Session) StopTask(ctx context.Context, task string) error {
	_, err := s.Control(ctx, &protocol.StopTask{TaskID: task})
	return err
}

// BackgroundTasks moves a running tool to the background, or all of them if toolUse is empty.
func (s *Session) BackgroundTasks(ctx context.Context, toolUse string) error {
	_, err := s.Control(ctx, &protocol.BackgroundTasks{ToolUseID: toolUse})
	return err
}

// TaskOutput is the end of what a background task wrote.
func (s *Session) TaskOutput(ctx context.Context, task string) (*protocol.TaskOutputResponse, error) {
	return ask[protocol.TaskOutputResponse](ctx, s, &protocol.GetTaskOutput{TaskID: task})
}

// Settings are the settings in force.
func (s *Session) Settings(ctx context.Context) (*protocol.SettingsResponse, error) {
	return ask[protocol.SettingsResponse](ctx, s, &protocol.GetSettings{})
}

// PermissionRules are the permission rules in force.
func (s *Session) PermissionRules(ctx context.Context) (*protocol.PermissionRulesResponse, error) {
	return ask[protocol.PermissionRulesResponse](ctx, s, &protocol.ListPermissionRules{})
}

// Usage is what the CLI itself says was used. Info.CostUSD is over the session's whole life.
func (s *Session) Usage(ctx context.Context) (*protocol.UsageResponse, error) {
	return ask[protocol.UsageResponse](ctx, s, &protocol.GetUsage{})
}

// ReadFile reads a file that the session may read.
func (s *Session) ReadFile(ctx context.Context, path string) (*protocol.ReadFileResponse, error) {
	return ask[protocol.ReadFileResponse](ctx, s, &protocol.ReadFile{Path: path})
}

// SeedReadState has the CLI take a file for read, so that it may be edited.
func (s *Session) SeedReadState(ctx context.Context, path string, modified time.Time) error {
	_, err := s.Control(ctx, &protocol.SeedReadState{Path: path, MTime: modified.UnixMilli()})
	return err
}

// ReloadOutputStyles looks for output styles anew, and says which there are.
func (s *Session) ReloadOutputStyles(ctx context.Context) ([]string, error) {
	r, err := ask[protocol.ReloadOutputStylesResponse](ctx, s, &protocol.ReloadOutputStyles{})
	if err != nil {
		return nil, err
	}
	return r.AvailableOutputStyles, nil
}

// RegisterRepoRoot tells of a repository in CWD that was made since the process began, so that its CLAUDE.md and skills count.
func (s *Session) RegisterRepoRoot(ctx context.Context, directory string) error {
	_, err := s.Control(ctx, &protocol.RegisterRepoRoot{Directory: directory, ReloadClaudeMD: true, ReloadPlugins: true, ReloadSkills: true})
	return err
}

// ReloadPlugins loads plugins anew.
func (s *Session) ReloadPlugins(ctx context.Context) (*protocol.ReloadPluginsResponse, error) {
	return ask[protocol.ReloadPluginsResponse](ctx, s, &protocol.ReloadPlugins{})
}

// ReloadSkills looks for skills anew.
func (s *Session) ReloadSkills(ctx context.Context) (*protocol.ReloadSkillsResponse, error) {
	return ask[protocol.ReloadSkillsResponse](ctx, s, &protocol.ReloadSkills{})
}

// Rename gives the conversation a title.
func (s *Session) Rename(ctx context.Context, title string) error {
	_, err := s.Control(ctx, &protocol.RenameSession{Title: title})
	return err
}

// GenerateTitle has the model make a title of a description. Empty: it made none. It takes a model call, as SideQuestion does. Rename
// gives it to the conversation.
func (s *Session) GenerateTitle(ctx context.Context, description string) (string, error) {
	r, err := ask[protocol.SessionTitleResponse](ctx, s, &protocol.GenerateSessionTitle{Description: description})
	if err != nil || r.Title == nil {
		return "", err
	}
	return *r.Title, nil
}

// SideQuestion asks the model something beside the conversation, also during a turn. It takes a model call: give ctx time, and raise Options.ControlTimeout if 30 s are not enough.
func (s *Session) SideQuestion(ctx context.Context, question string) (*protocol.SideQuestionResponse, error) {
	return ask[protocol.SideQuestionResponse](ctx, s, &protocol.SideQuestion{Question: question})
}

// ApplySettings changes settings of the CLI for as long as the session lives. Over those of the options they are merged key by
// key; what an earlier call has set below a key of the top level is replaced, and nil takes it back. If one is invalid nothing
// is applied. They are applied again after restarts. What would loosen the options is ErrLooser: the sandbox's settings while it is on,
// directories beside CWD and AddDir while ConfineFiles is on, and what leads to bypassPermissions if that is not allowed.
func (s *Session) ApplySettings(ctx context.Context, settings map[string]any) error {
	raw, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("session %s: settings: %w", s.name, err)
	}
	return s.change(ctx, &protocol.ApplyFlagSettings{Settings: raw}, func(r *record) { r.Applied = []json.RawMessage{inOne(append(slices.Clip(r.Applied), raw))} })
}

// UpdateSettings writes into one of the CLI's settings files: localSettings (outputStyle) or userSettings (effortLevel), and nothing
// else. The file has to be among Options.SettingSources.
func (s *Session) UpdateSettings(ctx context.Context, source string, settings map[string]any) error {
	raw, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("session %s: settings: %w", s.name, err)
	}
	_, err = s.Control(ctx, &protocol.UpdateSettings{Source: source, Settings: raw})
	return err
}

// inOne is one request that does to a new process what several did to the one they were made to, in their order: the keys of the
// top level replace each other.
func inOne(requests []json.RawMessage) json.RawMessage {
	all := map[string]json.RawMessage{}
	for _, raw := range requests {
		var settings map[string]json.RawMessage
		if json.Unmarshal(raw, &settings) != nil { // a damaged record: the CLI would refuse it
			continue
		}
		_, level := settings["effortLevel"]
		if _, said := settings["ultracode"]; level && !said { // another level ends it, unless both are said at once
			delete(all, "ultracode")
		}
		maps.Copy(all, settings)
	}
	one, err := json.Marshal(all)
	if err != nil { // cannot be: it was read from JSON
		return requests[len(requests)-1]
	}
	return one
}

// Started is what the CLI said when the running process began: its version, account, models, agents and commands. nil while
// there is none.
func (s *Session) Started() *protocol.InitializeResponse {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	return s.desk.started
}

// Account says how the running CLI authenticates.
func (s *Session) Account() (protocol.Account, error) {
	started := s.Started()
	if started == nil {
		return protocol.Account{}, fmt.Errorf("session %s: %w", s.name, ErrNotRunning)
	}
	return started.Account, nil
}

// Models are the models that the session can have.
func (s *Session) Models(ctx context.Context) ([]protocol.ModelInfo, error) {
	r, err := ask[protocol.ModelsResponse](ctx, s, &protocol.ListModels{})
	if err != nil {
		return nil, err
	}
	return r.Models, nil
}

// Agents are the agents that the session had when its process began.
func (s *Session) Agents() ([]protocol.AgentInfo, error) {
	return listed[protocol.AgentInfo](s, func(r *protocol.InitializeResponse) []json.RawMessage { return r.Agents })
}

// Commands are the slash commands that the session had when its process began.
func (s *Session) Commands() ([]protocol.CommandInfo, error) {
	return listed[protocol.CommandInfo](s, func(r *protocol.InitializeResponse) []json.RawMessage { return r.Commands })
}

func listed[T any](s *Session, of func(*protocol.InitializeResponse) []json.RawMessage) ([]T, error) {
	started := s.Started()
	if started == nil {
		return nil, fmt.Errorf("session %s: %w", s.name, ErrNotRunning)
	}
	var all []T
	for _, raw := range of(started) {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("session %s: %w", s.name, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// change sends a request and, if the CLI took it, notes what has to be said again to the next process.
func (s *Session) change(ctx context.Context, body protocol.ControlBody, note func(*record)) error {
	_, err := s.Control(ctx, body)
	if err == nil {
		s.desk.update(func(r *record, _ *Info) { note(r) })
		s.keep(ctx)
	}
	return err
}

// with is a copy of a map with one value more.
func with[V any](m map[string]V, key string, value V) map[string]V {
	m = maps.Clone(m)
	if m == nil {
		m = make(map[string]V)
	}
	m[key] = value
	return m
}

// thinkingSet is what SetMaxThinkingTokens was last told.
type thinkingSet struct {
	Tokens *int `json:"tokens"`
}

// again are the requests that tell a new process what was changed at run time, in their order. Model and permission mode are
// flags.
func (s *Session) again(r record) []protocol.ControlBody {
	var all []protocol.ControlBody
	if r.Thinking != nil {
		all = append(all, &protocol.SetMaxThinkingTokens{MaxThinkingTokens: r.Thinking.Tokens})
	}
	if len(r.Applied) > 0 {
		if applied := inOne(r.Applied); s.spec.Options.mayApply(applied) == nil { // the options may be others by now
			all = append(all, &protocol.ApplyFlagSettings{Settings: applied})
		}
	}
	s.desk.mu.Lock()
	servers := s.desk.servers
	s.desk.mu.Unlock()
	if servers != nil {
		if body, err := s.spec.Options.setServers(servers); err == nil { // it was set once already
			all = append(all, body)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.MCPModes)) {
		all = append(all, &protocol.SetMCPPermissionModeOverride{ServerName: name, Mode: new(r.MCPModes[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Toggled)) {
		all = append(all, &protocol.MCPToggle{ServerName: name, Enabled: r.Toggled[name]})
	}
	return all
}

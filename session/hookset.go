package session

import (
	"github.com/understudy-run/understudy/session/protocol"
)

// Hooks are functions of this program that the CLI calls at events, by event. All hooks of an event that match are called at
// once.
//
// A hook that panics, returns an error or takes longer than its Timeout denies, where the event can be denied: the tool does
// not run, the prompt is not sent, the permission is not given, the model is not changed, the conversation is not
// compacted. Where there is nothing to deny its answer is left out, and logged.
//
// The hooks of PreToolUse come before the audit log: what it records as the intent is the input that will run, with what the hooks
// made of it. None of them can let a tool run that the log could not record. Of several, deny outweighs ask, and that allow; of
// several new inputs the last in the list counts.
//
// Some events do not come as one might expect, as of CLI 2.1.330: SessionStart only after /clear and /compact, not at the start,
// and SessionEnd only at /clear; CwdChanged only if the CLI's settings have a hook for it too, such as the command true; FileChanged
// only for files that a hook of SessionStart named in WatchPaths, until the directory changes; WorktreeRemove
// only if Options.ConfineFiles is false; Setup and TeammateIdle never.
type Hooks struct {
	PreToolUse          []Hook[protocol.PreToolUseInput, protocol.PreToolUseOutput]
	PostToolUse         []Hook[protocol.PostToolUseInput, protocol.PostToolUseOutput]
	PostToolUseFailure  []Hook[protocol.PostToolUseFailureInput, protocol.PostToolUseFailureOutput]
	PostToolBatch       []Hook[protocol.PostToolBatchInput, protocol.PostToolBatchOutput]
	PermissionRequest   []Hook[protocol.PermissionRequestInput, protocol.PermissionRequestOutput]
	PermissionDenied    []Hook[protocol.PermissionDeniedInput, protocol.PermissionDeniedOutput]
	UserPromptSubmit    []Hook[protocol.UserPromptSubmitInput, protocol.UserPromptSubmitOutput]
	UserPromptExpansion []Hook[protocol.UserPromptExpansionInput, protocol.UserPromptExpansionOutput]
	SessionStart        []Hook[protocol.SessionStartInput, protocol.SessionStartOutput]
	SessionEnd          []Hook[protocol.SessionEndInput, protocol.SessionEndOutput]
	Setup               []Hook[protocol.SetupInput, protocol.SetupOutput]
	Stop                []Hook[protocol.StopInput, protocol.StopOutput]
	StopFailure         []Hook[protocol.StopFailureInput, protocol.StopFailureOutput]
	SubagentStart       []Hook[protocol.SubagentStartInput, protocol.SubagentStartOutput]
	SubagentStop        []Hook[protocol.SubagentStopInput, protocol.SubagentStopOutput]
	PreCompact          []Hook[protocol.PreCompactInput, protocol.PreCompactOutput]
	PostCompact         []Hook[protocol.PostCompactInput, protocol.PostCompactOutput]
	PreModelSwitch      []Hook[protocol.PreModelSwitchInput, protocol.PreModelSwitchOutput]
	PostModelSwitch     []Hook[protocol.PostModelSwitchInput, protocol.PostModelSwitchOutput]
	Notification        []Hook[protocol.NotificationInput, protocol.NotificationOutput]
	MessageDisplay      []Hook[protocol.MessageDisplayInput, protocol.MessageDisplayOutput]
	Elicitation         []Hook[protocol.ElicitationInput, protocol.ElicitationOutput]
	ElicitationResult   []Hook[protocol.ElicitationResultInput, protocol.ElicitationResultOutput]
	TaskCreated         []Hook[protocol.TaskCreatedInput, protocol.TaskCreatedOutput]
	TaskCompleted       []Hook[protocol.TaskCompletedInput, protocol.TaskCompletedOutput]
	TeammateIdle        []Hook[protocol.TeammateIdleInput, protocol.TeammateIdleOutput]
	ConfigChange        []Hook[protocol.ConfigChangeInput, protocol.ConfigChangeOutput]
	InstructionsLoaded  []Hook[protocol.InstructionsLoadedInput, protocol.InstructionsLoadedOutput]
	CwdChanged          []Hook[protocol.CwdChangedInput, protocol.CwdChangedOutput]
	FileChanged         []Hook[protocol.FileChangedInput, protocol.FileChangedOutput]
	DirectoryAdded      []Hook[protocol.DirectoryAddedInput, protocol.DirectoryAddedOutput]
	WorktreeCreate      []Hook[protocol.WorktreeCreateInput, protocol.WorktreeCreateOutput]
	WorktreeRemove      []Hook[protocol.WorktreeRemoveInput, protocol.WorktreeRemoveOutput]
}

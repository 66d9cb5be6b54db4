package sessiontest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// task is work in the background. Its end makes the CLI start a turn by itself.
type task struct {
	id          string
	runID       string
	toolUseID   string
	description string
	output      string // the path of its output
	summary     string // once it has ended
	status      string
	text        string // the prompt of the turn; empty for the notice that the CLI writes
	agent       *agent // nil for a command
}

func (s *simulation) newTask(toolUseID, description string) *task {
	id := "b" + randomHex(4)
	return &task{
		id: id, runID: "0" + randomHex(4) + "-" + randomHex(4), toolUseID: toolUseID, description: description,
		output: filepath.Join(os.TempDir(), fmt.Sprintf("claude-%d", os.Getuid()), projectKey(s.dir), s.transcript.sessionID, "tasks", id+".output"),
	}
}

// startTask reports a task. It has ended when endTask is called.
func (s *simulation) startTask(t *task) {
	s.tasks = append(s.tasks, t)
	s.system("background_tasks_changed", frame{"tasks": s.taskList()})
	started := frame{
		"task_id": t.id, "run_id": t.runID, "description": t.description, "is_backgrounded": true, "task_type": "local_bash",
	}
	if t.toolUseID != "" {
		started["tool_use_id"] = t.toolUseID
	}
	s.system("task_started", started)
}

// endTask reports the end of a task and queues the turn that it causes.
func (s *simulation) endTask(t *task, status, how string) {
	s.tasks = slices.DeleteFunc(s.tasks, func(other *task) bool { return other == t })
	t.status = status
	t.summary = `Background command "` + t.description + `" ` + how
	s.system("task_updated", frame{
		"task_id": t.id, "run_id": t.runID, "patch": frame{"status": status, "end_time": time.Now().UnixMilli()},
	})
	note := frame{"task_id": t.id, "run_id": t.runID, "status": status, "output_file": t.output, "summary": t.summary}
	if t.toolUseID != "" {
		note["tool_use_id"] = t.toolUseID
	}
	s.system("task_notification", note)
	s.system("background_tasks_changed", frame{"tasks": s.taskList()})
	s.queue = append(s.queue, work{task: t})
}

func (s *simulation) taskList() []frame {
	list := []frame{}
	for _, t := range s.tasks {
		entry := frame{"task_id": t.id, "run_id": t.runID, "task_type": "local_bash", "description": t.description}
		if t.agent != nil {
			entry["task_type"], entry["subagent_type"] = "local_agent", t.agent.kind
		}
		list = append(list, entry)
	}
	return list
}

// escapeTags leaves quotes as they are: the CLI does, and directives in a description stay readable.
var escapeTags = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// notice is the prompt that the model gets.
func (t *task) notice() string {
	switch {
	case t.text != "":
		return t.text
	case t.agent != nil:
		return t.agent.notice()
	}
	return notificationTag + "\n<task-id>" + t.id + "</task-id>\n<tool-use-id>" + t.toolUseID + "</tool-use-id>\n<output-file>" + t.output +
		"</output-file>\n<status>" + t.status + "</status>\n<summary>" + escapeTags.Replace(t.summary) + "</summary>\n" + notificationEnd
}

func (s *simulation) backgroundBash(use *toolUse, command, description string, result frame) toolOutcome {
	if description == "" {
		description = command
	}
	t := s.newTask(use.id, description)
	_, err := s.startShell(command, func(sh *shell) {
		if sh.err != nil {
			s.endTask(t, "failed", "failed with exit code "+exitCode(sh.err))
			return
		}
		s.endTask(t, "completed", "completed (exit code 0)")
	})
	if err != nil {
		return toolFailure(err.Error(), nil)
	}
	s.startTask(t)
	result["backgroundTaskId"] = t.id
	return toolOutcome{
		content:    "Command running in background with ID: " + t.id + ". Output is being written to: " + t.output + ". You will be notified when it completes.",
		structured: result,
	}
}

// selfTurn lets a turn start by itself after a while.
func (s *simulation) selfTurn(d directive) {
	delay, text := d.selfTurn()
	t := s.newTask("", text)
	t.text = text
	s.startTask(t)
	s.after(delay, func() { s.endTask(t, "completed", "completed (exit code 0)") })
}

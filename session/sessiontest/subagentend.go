package sessiontest

import (
	"fmt"
	"slices"
	"time"
)

// cut stops a turn, or a subagent, where it stands.
func (t *turn) cut() {
	t.interrupted = true
	if t.shell != nil {
		t.shell.kill()
	}
}

// cutAgents stops the subagents that a turn waits for, and those that they wait for.
func (s *simulation) cutAgents(t *turn) {
	for _, a := range s.agents {
		if a.caller == t && !a.background {
			s.cutAgent(a)
		}
	}
}

func (s *simulation) cutAgent(a *agent) {
	for _, r := range s.requests {
		if r.turn == a.turn {
			s.cancel(r)
		}
	}
	a.turn.cut()
	s.cutAgents(a.turn)
}

// stopTask is a stop over the wire. The CLI says yes to any id.
func (s *simulation) stopTask(id string) {
	i := slices.IndexFunc(s.agents, func(a *agent) bool { return a.id == id })
	if i < 0 {
		return
	}
	a := s.agents[i]
	s.cutAgent(a)
	s.agentKilled(a, &s.agentStats.byUser)
	if a.background {
		a.status, a.summary = "killed", `Agent "`+a.description+`" was stopped by user`
		s.queue = append(s.queue, work{task: a.task})
	}
}

// stopBehind stops all subagents in the background. No turn follows.
func (s *simulation) stopBehind() {
	for _, a := range slices.Clone(s.agents) {
		if a.background {
			s.cutAgent(a)
			s.agentKilled(a, &s.agentStats.bySystem)
		}
	}
}

// stopForBudget is what becomes of subagents when the budget is spent: those in the background are stopped, those in the
// foreground go on, though their turn ends.
func (s *simulation) stopForBudget() {
	if slices.ContainsFunc(s.agents, func(a *agent) bool { return a.background }) {
		_, _ = fmt.Fprintf(s.stderr, "Budget limit reached ($%v of $%v); stopping background agents.\n", s.spent, s.inv.maxBudget)
		s.stopBehind()
	}
}

// agentKilled reports the end of a subagent that was stopped, once.
func (s *simulation) agentKilled(a *agent, by *int) {
	if a.told {
		return
	}
	*by++
	s.agentEnded(a, "killed", frame{}, frame{"status": "stopped", "summary": a.description})
}

func (s *simulation) agentFailed(a *agent, failure string) {
	s.agentStats.failed++
	s.agentEnded(a, "failed", frame{"error": failure}, frame{"status": "failed", "summary": failure})
	if a.background {
		a.status, a.summary = "failed", `Agent "`+a.description+`" failed: `+failure
		s.queue = append(s.queue, work{task: a.task})
	}
}

func (s *simulation) agentCompleted(a *agent) {
	s.agentStats.completed++
	note := frame{"status": "completed", "summary": a.report, "usage": a.usage()}
	if a.background {
		note["summary_is_report"] = true
	}
	s.agentEnded(a, "completed", frame{}, note)
	if a.background {
		a.status, a.summary = "completed", `Agent "`+a.description+`" finished`
		s.queue = append(s.queue, work{task: a.task})
	}
}

// agentEnded reports an end.
func (s *simulation) agentEnded(a *agent, status string, patch, note frame) {
	a.told = true
	s.agents = slices.DeleteFunc(s.agents, func(other *agent) bool { return other == a })
	s.record(a.file.about(a, true))
	patch["status"], patch["end_time"] = status, time.Now().UnixMilli()
	s.system("task_updated", frame{"task_id": a.id, "run_id": a.runID, "patch": patch})
	note["task_id"], note["run_id"], note["tool_use_id"], note["output_file"] = a.id, a.runID, a.toolUseID, a.output
	s.system("task_notification", note)
	if a.background {
		s.tasks = slices.DeleteFunc(s.tasks, func(t *task) bool { return t == a.task })
		s.system("background_tasks_changed", frame{"tasks": s.taskList()})
	}
}

func (a *agent) usage() frame {
	return frame{"total_tokens": agentTokens, "tool_uses": a.tools, "duration_ms": time.Since(a.started).Milliseconds()}
}

// ofAgent says whether a task is a subagent.
func (t *task) ofAgent() bool { return t.agent != nil }

// notice is the prompt of the turn that the end of a subagent in the background causes.
func (a *agent) notice() string {
	text := notificationTag + "\n<task-id>" + a.id + "</task-id>\n<tool-use-id>" + a.toolUseID + "</tool-use-id>\n<output-file>" + a.output +
		"</output-file>\n<status>" + a.status + "</status>\n<summary>" + escapeTags.Replace(a.summary) + "</summary>\n<note>" + agentNote + "</note>\n"
	if a.status == "completed" {
		text += fmt.Sprintf("<result>%s</result>\n<usage><subagent_tokens>%d</subagent_tokens><tool_uses>%d</tool_uses><duration_ms>%d</duration_ms></usage>\n",
			escapeTags.Replace(a.report), agentTokens, a.tools, time.Since(a.started).Milliseconds())
	}
	return text + notificationEnd
}

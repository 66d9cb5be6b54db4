package lint

import (
	"time"

	"github.com/understudy-run/understudy/session"
)

func limits(l *look) {
	if l.o.MaxTurns == 0 {
		l.at("max_turns", "no limit of model calls for a prompt")
	}
	if l.o.MaxBudgetUSD == 0 && len(l.o.Budgets) == 0 {
		l.at("max_budget_usd", "no limit of money")
	}
	if l.o.TurnTimeout == 0 {
		l.at("turn_timeout", "no limit of time for a turn")
	}
	if l.o.StallTimeout < 0 {
		l.milder(Warning, "stall_timeout", "a turn in which nothing happens is never ended")
	}
}

func processLimits(l *look) {
	if l.o.Limits.Memory == 0 || l.o.Limits.Processes == 0 {
		l.at("limits", "no limit of memory or of processes")
	}
}

func singleMeter(l *look) {
	if l.o.MaxBudgetUSD > 0 && len(l.o.Budgets) == 0 && (l.o.APIKeyDelivery != session.DeliverProxy || l.o.APIProxy.MaxBudgetUSD == 0) {
		l.at("max_budget_usd", "what is spent is what the CLI says")
	}
}

func ladder(l *look) {
	if grace, limited := l.o.Shutdown.Grace(); limited && grace < 3*time.Second {
		l.at("shutdown", "%s", l.o.Shutdown)
	}
}

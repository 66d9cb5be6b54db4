package debug

import (
	"cmp"
	"net/http"
	"slices"
)

// budgetView is the page of what is spent and what is left.
type budgetView struct {
	frame
	Spent, Limit, Left string
	Shared             []budgetItem
	Rows               []item
	Without            []item // sessions that have no limit and have spent something
	More               int
}

// maxBudgets is how many sessions each of the page's tables has.
const maxBudgets = 200

func (h *handler) budgets(w http.ResponseWriter, r *http.Request) {
	root, ok := h.look(w, r)
	if !ok {
		return
	}
	w.Header().Set("Vary", "Accept")
	if !prefers(r, "text/html", "application/json") {
		h.costs(w, r, root)
		return
	}
	now := h.now()
	v := budgetView{frame: h.frame("Budgets", "budgets", "./")}
	var spent, limit, left float64
	sessions := root.Sessions()
	slices.SortStableFunc(sessions, func(a, b Node) int { return cmp.Compare(share(b), share(a)) })
	for i := range sessions {
		s := sessions[i].SessionFields
		if s == nil {
			continue
		}
		spent += s.CostUSD
		if s.BudgetUSD > 0 {
			limit += s.BudgetUSD
			left += max(s.BudgetUSD-s.CostUSD, 0)
		}
		list := &v.Rows
		switch {
		case s.BudgetUSD == 0 && s.CostUSD == 0:
			continue
		case s.BudgetUSD == 0:
			list = &v.Without
		}
		if len(*list) == maxBudgets {
			v.More++
			continue
		}
		*list = append(*list, h.item(&sessions[i], sessions[i].Name, "", now))
	}
	v.Shared = budgetItems(root.SharedBudgets, now)
	v.Spent, v.Limit, v.Left = dollars(spent), dollars(limit), dollars(left)
	h.render(w, r, "budgets", v)
}

// share is what a session has used of its budget, or has spent if it has none.
func share(n Node) float64 {
	switch s := n.SessionFields; {
	case s == nil:
		return -1
	case s.BudgetUSD > 0:
		return s.CostUSD / s.BudgetUSD
	default:
		return s.CostUSD
	}
}

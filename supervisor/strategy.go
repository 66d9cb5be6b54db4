package supervisor

import (
	"fmt"
	"slices"
	"time"
)

// Strategy says which children are restarted when one ends. The zero value means OneForOne.
type Strategy string

// The strategies of OTP. Under OneForAll and RestForOne the children that go down with another are stopped
// in reverse start order, the temporary ones are forgotten, and the rest is started again in start order,
// each ready before the next; all of it is one restart. What had finished, was stopped by hand or is parked
// stays as it is.
const (
	OneForOne       Strategy = "one_for_one"        // the child that ended and no other
	OneForAll       Strategy = "one_for_all"        // all of them
	RestForOne      Strategy = "rest_for_one"       // the child that ended and those after it in start order
	SimpleOneForOne Strategy = "simple_one_for_one" // as OneForOne, for children of one Template
)

var strategies = []Strategy{OneForOne, OneForAll, RestForOne, SimpleOneForOne}

// UnmarshalText accepts the four names.
func (s *Strategy) UnmarshalText(text []byte) error {
	if v := Strategy(text); slices.Contains(strategies, v) {
		*s = v
		return nil
	}
	return fmt.Errorf("strategy %q: expected one_for_one, one_for_all, rest_for_one or simple_one_for_one", text)
}

// grouped reports whether children go down together.
func (s Strategy) grouped() bool { return s == OneForAll || s == RestForOne }

// member is what a strategy has to know of a child.
type member struct {
	up        bool // it has a process, or is about to get one
	wanted    bool // it is meant to be up
	temporary bool // it is not started again
}

// plan is what becomes of a group: what to stop, one after the other in this order, and what to start when
// all of that is down, in this order.
type plan struct{ stop, start []int }

// plan says what the end of a child means for all of them. The child that failed is down already.
func (s Strategy) plan(members []member, failed int) plan {
	from, to := failed, failed+1
	switch s {
	case OneForAll:
		from, to = 0, len(members)
	case RestForOne:
		to = len(members)
	}
	var p plan
	for i := from; i < to; i++ {
		m := members[i]
		if m.up && i != failed {
			p.stop = append(p.stop, i)
		}
		if i == failed || m.wanted && !m.temporary {
			p.start = append(p.start, i)
		}
	}
	slices.Reverse(p.stop)
	return p
}

// ready says whether the first of those that wait for their turn is to be started now, given when it may be
// and when the last of all may. Children that share one fate wait for the one that has to wait longest,
// since none can work without it.
func (s Strategy) ready(first, latest, now time.Time) bool {
	if s == OneForAll {
		return !latest.After(now)
	}
	return !first.After(now)
}

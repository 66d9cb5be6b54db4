package understudy

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// History is the recent past of a session.
func (b *backend) History(_ context.Context, name string) (debug.History, error) {
	s, err := b.Session(name)
	if err != nil {
		return debug.History{}, coded(err)
	}
	past := s.History()
	h := debug.History{
		Generations: make([]debug.Generation, 0, len(past.Generations)), Turns: make([]debug.Turn, 0, len(past.Turns)),
		Tools: make([]debug.ToolRun, 0, len(past.Tools)), LastWords: append([]string{}, past.LastWords...),
	}
	for _, g := range past.Generations {
		h.Generations = append(h.Generations, debug.Generation{
			Number: g.Number, PID: g.PID, StartedAt: g.StartedAt, ReadyAt: known(g.ReadyAt), EndedAt: known(g.EndedAt), Exit: g.Exit, Turns: g.Turns,
		})
	}
	for _, t := range past.Turns {
		h.Turns = append(h.Turns, debug.Turn{
			Number: t.Number, StartedAt: t.StartedAt, EndedAt: known(t.EndedAt), Outcome: t.Outcome, Own: t.Own, Tools: t.Tools,
			CostUSD: t.CostUSD, Tokens: debug.Tokens(t.Tokens),
		})
	}
	for _, t := range past.Tools {
		h.Tools = append(h.Tools, debug.ToolRun{
			ID: t.ID, Name: t.Name, Argument: t.Argument, Turn: t.Turn, StartedAt: t.StartedAt, EndedAt: known(t.EndedAt), Outcome: t.Outcome,
		})
	}
	return h, nil
}

// known is a time, or nil for none.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Usage is what processes use of the machine.
func (b *backend) Usage(pids []int) map[int]debug.Usage {
	found := process.Usages(pids)
	all := make(map[int]debug.Usage, len(found))
	for pid, u := range found {
		all[pid] = debug.Usage{Processes: u.Processes, RSSBytes: u.RSS, CPUSeconds: u.CPU.Seconds()}
	}
	return all
}

// Follow gives the moments of a session's life.
func (b *backend) Follow(ctx context.Context, name string, since uint64) iter.Seq2[debug.Moment, error] {
	return func(yield func(debug.Moment, error) bool) {
		s, err := b.Session(name)
		if err != nil {
			yield(debug.Moment{}, coded(err))
			return
		}
		for m, err := range s.Follow(ctx, since) {
			var data []byte
			if err == nil {
				data, err = json.Marshal(m)
			}
			if !yield(debug.Moment{Seq: m.Seq, Kind: string(m.Kind), Data: data}, coded(err)) {
				return
			}
		}
	}
}

// watched is a frame and where it belongs.
type watched struct {
	Generation int             `json:"generation"`
	Turn       int             `json:"turn"`
	Own        bool            `json:"own"` // the CLI began the turn by itself
	Frame      json.RawMessage `json:"frame"`
}

// Watch gives every frame of a session.
func (b *backend) Watch(ctx context.Context, name string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		s, err := b.Session(name)
		if err != nil {
			yield(nil, coded(err))
			return
		}
		for e, err := range s.Watch(ctx) {
			var data json.RawMessage
			if err == nil {
				data, err = json.Marshal(watchedOf(e))
			}
			if !yield(data, coded(err)) {
				return
			}
		}
	}
}

func watchedOf(e session.Event) watched {
	return watched{Generation: e.Generation, Turn: e.Turn, Own: e.Own, Frame: e.Message.Raw()}
}

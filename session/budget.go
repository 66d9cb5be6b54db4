package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/understudy-run/understudy/audit"
)

// BudgetSpec is a limit that several sessions share (Options.Budgets).
type BudgetSpec struct {
	Name     string  // see ValidName
	LimitUSD float64 // above 0
	// Per is the length of a window; a window begins at a whole multiple of it in UTC, so that 24h is a day and
	// begins at midnight. 0: one window without an end.
	Per time.Duration
}

func (b BudgetSpec) validate() error {
	switch {
	case !ValidName(b.Name):
		return fmt.Errorf("budget %q: expected a name of up to 64 letters, digits, dots, underscores and dashes, beginning with a letter or digit", b.Name)
	case !(b.LimitUSD > 0) || b.LimitUSD > maxTotal:
		return fmt.Errorf("budget %s: limit_usd %v: expected an amount above 0", b.Name, b.LimitUSD)
	case b.Per < 0 || b.Per > 0 && b.Per < time.Minute:
		return fmt.Errorf("budget %s: per %v: expected 1m or more, or 0 for no window", b.Name, b.Per)
	}
	return nil
}

// Budget is what several sessions may spend together, in one window after the other. It may be used from any goroutine.
//
// What a session spends is counted when a turn has its result. Meanwhile all are held to what the frames of all running turns say on top
// of that: a turn is interrupted before its next model call when the budget is spent, by others too. What a call costs is known
// when it is over, so turns that run at the same time may each take the budget over its limit, by what one call costs and what
// frames do not say. No turn begins after that.
//
// The truth about money is in the sessions' records. A budget keeps how far it has counted each of them, so that what a
// session had spent when the runtime was killed is counted when the session is there again, and nothing is counted twice.
type Budget struct {
	spec BudgetSpec
	now  func() time.Time
	warn func(BudgetState, error) // a threshold was passed; or the file could not be written

	file diskCopy

	mu   sync.Mutex
	book book
	owed map[string]float64 // what turns that run have spent beside that, by their frames; of sessions, and of this window
}

// book is a budget's file.
type book struct {
	Version  int              `json:"version"`
	Name     string           `json:"name"`
	Window   time.Time        `json:"window"`           // when it began
	Gone     float64          `json:"gone_usd"`         // spent in the window by sessions that were removed, or are counted anew
	Sessions map[string]share `json:"sessions"`         // by name
	Warned   float64          `json:"warned,omitempty"` // the highest threshold that was told, as a part of the limit
}

// share is one session's part of a window, as its lifetime total at the beginning of the window and now.
type share struct {
	Base float64 `json:"base_usd"`
	Last float64 `json:"last_usd"`
}

func (b book) spent() float64 {
	sum := b.Gone
	for _, s := range b.Sessions {
		sum += s.Last - s.Base
	}
	// To a billionth of a dollar: the sum of floats depends on their order, which is another each time, and what is exhausted must
	// not be nearly so a moment later.
	return math.Round(sum*1e9) / 1e9
}

// BudgetState is a budget at a moment.
type BudgetState struct {
	Name     string             `json:"name"`
	LimitUSD float64            `json:"limit_usd"`
	SpentUSD float64            `json:"spent_usd"` // in this window
	Per      time.Duration      `json:"per,omitzero"`
	Window   time.Time          `json:"window,omitzero"`    // when it began; zero if there are no windows
	ResetsAt time.Time          `json:"resets_at,omitzero"` // when the next begins
	Sessions map[string]float64 `json:"sessions"`           // what each has spent in this window, but for those that were removed
}

// Exhausted reports whether all is spent.
func (s BudgetState) Exhausted() bool { return s.SpentUSD >= s.LimitUSD }

const bookVersion = 1

// The parts of a budget at which somebody is told.
const (
	warnAt = 0.8
	fullAt = 1.0
)

// NewBudget makes a budget. If there is a file of it in dir it goes on from there; with an empty dir it is in memory only.
// A file that cannot be read is set aside: the budget is usable, and the error a *StateError. warn, if not nil, is called when
// a threshold is passed, and with an error when the file cannot be written; it must return at once.
func NewBudget(spec BudgetSpec, dir string, warn func(BudgetState, error)) (*Budget, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	if warn == nil {
		warn = func(BudgetState, error) {}
	}
	b := &Budget{spec: spec, now: time.Now, warn: warn, owed: make(map[string]float64), book: book{Version: bookVersion, Name: spec.Name, Sessions: make(map[string]share)}}
	if dir == "" {
		return b, nil
	}
	path := filepath.Join(dir, spec.Name+".json")
	b.file = diskCopy{path: path, encode: b.encode, failed: func(err error) { b.warn(b.State(), fmt.Errorf("save budget %s: %w", spec.Name, err)) }}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	var found book
	if err == nil {
		err = json.Unmarshal(data, &found)
	}
	if err == nil {
		err = found.check(spec.Name)
	}
	if err != nil {
		return b, &StateError{Session: spec.Name, Cause: setAside(path, "budget "+spec.Name, err)}
	}
	b.book = found
	return b, nil
}

func (b book) check(name string) error {
	switch {
	case b.Version != bookVersion:
		return fmt.Errorf("version %d, expected %d", b.Version, bookVersion)
	case b.Name != name:
		return fmt.Errorf("it belongs to budget %q", b.Name)
	case !believable(b.Gone) || b.Sessions == nil:
		return fmt.Errorf("gone_usd %v, %d sessions", b.Gone, len(b.Sessions))
	}
	for session, s := range b.Sessions {
		if !believable(s.Base) || !believable(s.Last) || s.Last < s.Base {
			return fmt.Errorf("session %q: from %v to %v", cut(session, 80), s.Base, s.Last)
		}
	}
	return nil
}

// Set has another limit and another length of windows hold from now on; the name must be the same. With the same length what was spent
// stays spent. With another the window that runs goes on until one of the new length begins, in UTC; if that has begun since, it
// begins now, with nothing spent. An error says what is wrong with the spec, and nothing has changed.
func (b *Budget) Set(spec BudgetSpec) error {
	if err := spec.validate(); err != nil {
		return err
	}
	if spec.Name != b.spec.Name {
		return fmt.Errorf("budget %s: its name cannot become %q", b.spec.Name, spec.Name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spec.LimitUSD, b.spec.Per = spec.LimitUSD, spec.Per
	b.roll()
	// What was warned of is warned of again when it comes to pass again.
	part := b.book.spent() / spec.LimitUSD
	for _, at := range []float64{fullAt, warnAt} {
		if b.book.Warned >= at && part < at {
			b.book.Warned = 0
			if part >= warnAt {
				b.book.Warned = warnAt
			}
		}
	}
	b.file.changed()
	return nil
}

// Name is the budget's name.
func (b *Budget) Name() string { return b.spec.Name }

// roll begins a new window when it is time. A clock that is set back ends no window and begins no earlier one: what was
// spent stays spent. It also does if the window lies further ahead than one can last, since the clock was wrong before or is now; but
// it counts in the window of this time then, or nothing might be left until a far day. b.mu is held.
func (b *Budget) roll() {
	if b.spec.Per == 0 {
		return
	}
	window := b.now().UTC().Truncate(b.spec.Per)
	if b.book.Window.Sub(window) > b.spec.Per {
		b.book.Window = window
		b.file.changed()
		return
	}
	if !window.After(b.book.Window) {
		return
	}
	b.book.Window, b.book.Gone, b.book.Warned = window, 0, 0
	clear(b.owed) // what is counted now counts in the window that begins
	for name, s := range b.book.Sessions {
		b.book.Sessions[name] = share{s.Last, s.Last}
	}
	b.file.changed()
}

// join has a session spend from the budget again that has not meanwhile: what it has spent in between is not the budget's. A session
// that the budget does not know, or that is another one of that name, is count's to take up.
func (b *Budget) join(session string, lifetime float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	if s, known := b.book.Sessions[session]; known && lifetime > s.Last {
		b.book.Sessions[session] = share{lifetime - (s.Last - s.Base), lifetime}
		b.file.changed()
	}
}

// count notes what a session has spent in its life so far. It is idempotent.
func (b *Budget) count(session string, lifetime float64) {
	if passed, ok := b.add(session, lifetime); ok {
		// In the caller's own time: whoever waits for the session's end has been told of its money by then.
		b.warn(passed, nil)
	}
}

// add counts, and reports whether that passed a threshold.
func (b *Budget) add(session string, lifetime float64) (BudgetState, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	delete(b.owed, session)
	s, known := b.book.Sessions[session]
	switch {
	case !known: // what it spent before it had this budget is not the budget's
		s = share{lifetime, lifetime}
	case lifetime < s.Last: // another session of that name, which begins at zero, or a record that is older than this
		b.book.Gone += s.Last - s.Base
		s = share{lifetime, lifetime}
	case lifetime == s.Last:
		return BudgetState{}, false
	default:
		s.Last = lifetime
	}
	b.book.Sessions[session] = s
	return b.changed()
}

// leave is for a session that is removed, and never comes back: what it has spent in this window stays spent, and its name is
// forgotten. There may be another one for each job that somebody has done.
func (b *Budget) leave(session string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	delete(b.owed, session)
	if s, known := b.book.Sessions[session]; known {
		b.book.Gone += s.Last - s.Base
		delete(b.book.Sessions, session)
		b.file.changed()
	}
}

func (b *Budget) encode() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return json.MarshalIndent(b.book, "", "  ")
}

// changed has the file written, and reports whether a threshold was passed. b.mu is held.
func (b *Budget) changed() (passed BudgetState, ok bool) {
	part := b.book.spent() / b.spec.LimitUSD
	for _, at := range []float64{fullAt, warnAt} {
		if part >= at && b.book.Warned < at {
			b.book.Warned = at
			passed, ok = b.state(), true
			break
		}
	}
	b.file.changed()
	return passed, ok
}

// Flush waits until what was counted is on disk. The error says why it is not; warn has been told.
func (b *Budget) Flush() error {
	if err := b.file.flush(); err != nil {
		return fmt.Errorf("save budget %s: %w", b.spec.Name, err)
	}
	return nil
}

// State describes the budget.
func (b *Budget) State() BudgetState {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	return b.state()
}

func (b *Budget) state() BudgetState {
	s := BudgetState{Name: b.spec.Name, LimitUSD: b.spec.LimitUSD, SpentUSD: b.book.spent(), Per: b.spec.Per, Sessions: make(map[string]float64)}
	if b.spec.Per > 0 {
		s.Window = b.book.Window
		if !s.Window.IsZero() {
			s.ResetsAt = s.Window.UTC().Truncate(b.spec.Per).Add(b.spec.Per) // it may have begun when windows had another length
		}
	}
	for name, share := range b.book.Sessions {
		s.Sessions[name] = share.Last - share.Base
	}
	return s
}

// owe takes down what a session has spent beside what was counted, in place of what it said before.
func (b *Budget) owe(session string, more float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	if more > 0 {
		b.owed[session] = more
	} else {
		delete(b.owed, session)
	}
}

// allow is nil as long as something is left, with what a session has spent beside what was counted, and others have.
func (b *Budget) allow(session string, more float64) error {
	b.owe(session, more)
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.state()
	for _, owed := range b.owed {
		s.SpentUSD += owed
	}
	if !s.Exhausted() {
		return nil
	}
	return &BudgetError{Session: session, Budget: s.Name, SpentUSD: s.SpentUSD, LimitUSD: s.LimitUSD, ResetsAt: s.ResetsAt}
}

// BudgetError says which budget is spent. It is ErrBudgetExhausted.
type BudgetError struct {
	Session  string
	Budget   string // of the shared one; empty for the session's own, max_budget_usd
	SpentUSD float64
	LimitUSD float64
	ResetsAt time.Time // when the shared budget's next window begins; zero if never
}

// Error gives the figures.
func (e *BudgetError) Error() string {
	what := "max_budget_usd"
	if e.Budget != "" {
		what = "budget " + e.Budget
	}
	text := fmt.Sprintf("session %s: %v: spent %.4f of %.4f USD (%s)", e.Session, ErrBudgetExhausted, e.SpentUSD, e.LimitUSD, what)
	if !e.ResetsAt.IsZero() {
		text += ", again from " + e.ResetsAt.UTC().Format(time.RFC3339)
	}
	return text
}

// Unwrap is ErrBudgetExhausted.
func (e *BudgetError) Unwrap() error { return ErrBudgetExhausted }

// allowance is nil as long as neither the session's own budget nor a shared one is spent, with so much more than what
// results have said.
func (s *Session) allowance(more float64) error {
	kept, info := s.desk.snapshot()
	if spent := kept.Ledger.Spent + more; info.Budget > 0 && spent >= info.Budget {
		return &BudgetError{Session: s.name, SpentUSD: spent, LimitUSD: info.Budget}
	}
	for _, b := range s.spec.Budgets {
		if err := b.allow(s.name, more); err != nil {
			return err
		}
	}
	return nil
}

// owe tells the shared budgets what the running turn has spent so far, so that others do not spend it again.
func (s *Session) owe(more float64) {
	for _, b := range s.spec.Budgets {
		b.owe(s.name, more)
	}
}

// spent tells the budgets how much the session has spent in its life, and who is concerned when its own comes to an end.
func (s *Session) spent(before, now float64) {
	for _, b := range s.spec.Budgets {
		b.count(s.name, now)
	}
	limit := s.spec.Options.MaxBudgetUSD
	if limit <= 0 {
		return
	}
	passed := func(share float64) bool { return now >= share*limit && before < share*limit }
	text := fmt.Sprintf("%.4f of %.4f USD are spent (max_budget_usd)", now, limit)
	event := audit.Budget{SpentUSD: now, LimitUSD: limit}
	switch {
	case passed(fullAt):
		s.tellNotice(NoticeBudgetExhausted, text)
		s.record(event.Exhausted())
	case passed(warnAt):
		s.tellNotice(NoticeBudgetWarned, text)
		s.record(event.Warned(warnAt))
	}
}

// Spending is what the session has spent in its life, by model.
func (s *Session) Spending() Spending {
	kept, info := s.desk.snapshot()
	return Spending{USD: kept.Ledger.Spent, EstimatedUSD: kept.Ledger.Estimated, LimitUSD: info.Budget, Turns: kept.Turns, Models: maps.Clone(kept.Ledger.Models), Budgets: slices.Clone(s.spec.Options.Budgets)}
}

// Spending is money and tokens over a session's life, restarts included.
type Spending struct {
	USD          float64         `json:"usd"`
	EstimatedUSD float64         `json:"estimated_usd,omitzero"` // part of USD: turns that were cut, by the tokens seen in their frames
	LimitUSD     float64         `json:"limit_usd,omitzero"`     // 0: no limit
	Turns        int             `json:"turns"`
	Models       map[string]Cost `json:"models,omitempty"`
	Budgets      []string        `json:"budgets,omitempty"` // the shared budgets it spends from
}

package session

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Limits bound what the sessions of a runtime do together. A field of zero is no limit.
type Limits struct {
	// MaxProcesses is how many CLIs may be there. A session that needs one more waits, and the session that has been idle for
	// longest makes room for it, if it may be hibernated (Options.IdleTimeout).
	MaxProcesses int
	// MaxBusy is how many turns may run. Turns that CLIs start by themselves count, and may go over it.
	MaxBusy int
	// MaxStarting is how many CLIs may be coming up.
	MaxStarting int
	// StartsPerMinute is how many CLIs may be started a minute in the long run, StartBurst how many at once; 0 means
	// StartsPerMinute.
	StartsPerMinute, StartBurst int
}

func (l Limits) validate() error {
	var problems []error
	for name, value := range map[string]int{
		"max_processes": l.MaxProcesses, "max_busy": l.MaxBusy, "max_starting": l.MaxStarting,
		"starts_per_minute": l.StartsPerMinute, "start_burst": l.StartBurst,
	} {
		if value < 0 {
			problems = append(problems, fmt.Errorf("limits: %s %d: expected 0 (no limit) or more", name, value))
		}
	}
	return errors.Join(problems...)
}

// Governor holds the sessions of a runtime to Limits, and lets all of them know what one has learned of the API: that a
// usage limit is reached, or that it is overloaded. Queries wait then, no process is ended or restarted for it. It may be used
// from any goroutine; a nil Governor limits nothing.
type Governor struct {
	processes, turns, starting *slots
	starts                     *bucket
	file                       diskCopy
	now                        func() time.Time

	mu    sync.Mutex
	holds map[string]*hold // by account
	rests map[*loop]rest   // sessions that may be hibernated
}

// rest is a session with nothing to do.
type rest struct {
	since     time.Time
	hibernate func()
}

// hold is a time in which an account's queries wait.
type hold struct {
	Until    time.Time `json:"until"` // with a monotonic reading
	Reason   string    `json:"reason"`
	Failures int       `json:"failures,omitempty"` // times in a row that the API was overloaded
	waiters  int
}

// left is how much of it is left. It is over when either clock says so: one that is set back does not make it longer, and one that
// was behind, so that it was too long from the beginning, makes it shorter when it is set right. Should it be over too early, the
// CLI says so once more.
func (h *hold) left(now time.Time) time.Duration {
	return min(h.Until.Sub(now), h.Until.Round(0).Sub(now.Round(0)))
}

// longest is how long one of its kind may be.
func (h *hold) longest() time.Duration {
	if h.Reason == overloadReason {
		return lastOverload + lastOverload/5
	}
	return maxHold
}

const (
	// maxHold is longer than any window of usage: a CLI that says otherwise must not stop everything for ever.
	maxHold = 8 * 24 * time.Hour
	// rampStep is the time between two sessions that go on after a hold.
	rampStep = 250 * time.Millisecond
	// Overload without a time at which it ends is waited out this long, doubled each time.
	firstOverload = 30 * time.Second
	lastOverload  = 15 * time.Minute

	overloadReason = "the API is overloaded"
)

// NewGovernor makes one. What holds the sessions up is kept in the file limits.json of dir, so that it survives the
// runtime; with an empty dir it is in memory only. A file that cannot be read is set aside: the governor is usable, and the
// error a *StateError. unsaved, if not nil, is called when the file cannot be written.
func NewGovernor(limits Limits, dir string, unsaved func(error)) (*Governor, error) {
	if err := limits.validate(); err != nil {
		return nil, err
	}
	if unsaved == nil {
		unsaved = func(error) {}
	}
	g := &Governor{
		processes: newSlots(0), turns: newSlots(0), starting: newSlots(0), starts: newBucket(),
		now: time.Now, holds: make(map[string]*hold), rests: make(map[*loop]rest),
	}
	g.set(limits)
	if dir == "" {
		return g, nil
	}
	path := filepath.Join(dir, "limits.json")
	g.file = diskCopy{path: path, encode: g.encode, failed: func(err error) { unsaved(fmt.Errorf("save what is known of the API's limits: %w", err)) }}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	var kept holdsFile
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err == nil && kept.Version != holdsVersion {
		err = fmt.Errorf("version %d, expected %d", kept.Version, holdsVersion)
	}
	if err != nil {
		return g, &StateError{Session: "limits", Cause: setAside(path, "what is known of the API's limits", err)}
	}
	now := g.now()
	for account, h := range kept.Holds {
		if h != nil { // a clock that was wrong when it was written must not stop everything for ever
			h.Until, h.Failures = now.Add(min(h.Until.Sub(now), h.longest())), max(h.Failures, 0)
			g.holds[account] = h
		}
	}
	return g, nil
}

type holdsFile struct {
	Version int              `json:"version"`
	Holds   map[string]*hold `json:"holds"`
}

const holdsVersion = 1

// SetLimits has other limits hold from now on. Of processes that are too many those with nothing to do are hibernated, if they may be;
// what else there is more than the limits allow stays, and nothing is added to it until there is room again. What waits goes on
// where there is room now. An error says what is wrong with them, and nothing has changed.
func (g *Governor) SetLimits(limits Limits) error {
	if err := limits.validate(); err != nil {
		return err
	}
	g.set(limits)
	for range g.processes.tooMany() {
		if !g.makeRoom() {
			break
		}
	}
	return nil
}

func (g *Governor) set(limits Limits) {
	g.processes.set(limits.MaxProcesses)
	g.turns.set(limits.MaxBusy)
	g.starting.set(limits.MaxStarting)
	g.starts.set(limits.StartsPerMinute, cmp.Or(limits.StartBurst, limits.StartsPerMinute))
}

// Usage is how much of the limits is in use.
type Usage struct{ Processes, Busy, Starting int }

// Usage tells how much of the limits is in use.
func (g *Governor) Usage() Usage {
	return Usage{g.processes.inUse(), g.turns.inUse(), g.starting.inUse()}
}

// account identifies who pays for a session, without showing a key.
func account(o Options) string {
	h := sha256.New()
	for _, part := range []string{
		o.APIKey.Reveal(), o.Env["ANTHROPIC_API_KEY"], o.Env["ANTHROPIC_AUTH_TOKEN"], o.Env["CLAUDE_CODE_OAUTH_TOKEN"],
		o.Env["ANTHROPIC_BASE_URL"], o.Env["CLAUDE_CONFIG_DIR"], o.Env["HOME"],
	} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	switch { // what is in it may be another key at each start, and most often it is of the same account
	case o.APIKeyFile != "":
		h.Write([]byte("file " + o.APIKeyFile))
	case o.APIKeyCredential != "":
		h.Write([]byte("credential " + o.APIKeyCredential))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// admission is the right to have a process.
type admission struct {
	g    *Governor
	stop func() bool
	up   sync.Once
	gone sync.Once
}

// ready says that the process has come up.
func (a *admission) ready() {
	if a != nil {
		a.up.Do(a.g.starting.release)
	}
}

// taken says that there is a process, at whose end leave is called.
func (a *admission) taken() {
	if a != nil {
		a.stop()
	}
}

// leave says that the process is gone, or never was.
func (a *admission) leave() {
	if a != nil {
		a.ready()
		a.gone.Do(a.g.processes.release)
	}
}

// admit waits until a process may be started, or ctx ends. The right ends with owner, if nobody has taken it by then. waits is
// called if it has to wait.
// A spare one is for a process that is to wait for a session: it comes behind everybody, and nobody makes room for it.
func (g *Governor) admit(ctx, owner context.Context, spare bool, waits func(why string)) (*admission, error) {
	if g == nil {
		return nil, nil
	}
	if !g.processes.try() {
		waits("max_processes")
		if !spare {
			g.makeRoom()
		}
		if err := g.processes.acquire(ctx, spare); err != nil {
			return nil, err
		}
	}
	if !g.starting.try() {
		waits("max_starting")
		if err := g.starting.acquire(ctx, spare); err != nil {
			g.processes.release()
			return nil, err
		}
	}
	a := &admission{g: g}
	a.stop = context.AfterFunc(owner, a.leave)
	if err := g.starts.await(ctx, spare, func() { waits("starts_per_minute") }); err != nil {
		a.leave()
		return nil, err
	}
	return a, nil
}

// makeRoom hibernates the session that has had nothing to do for longest, and reports whether there was one.
func (g *Governor) makeRoom() bool {
	g.mu.Lock()
	var first *loop
	for l, r := range g.rests {
		if first == nil || r.since.Before(g.rests[first].since) {
			first = l
		}
	}
	r := g.rests[first]
	delete(g.rests, first)
	g.mu.Unlock()
	if r.hibernate != nil {
		r.hibernate()
	}
	return r.hibernate != nil
}

// resting notes that a session may be hibernated, until stirring. It reports whether it should be at once, since another one
// waits for a process.
func (g *Governor) resting(l *loop, hibernate func()) bool {
	if g == nil {
		return false
	}
	if g.processes.wanted() {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rests[l] = rest{time.Now(), hibernate}
	return false
}

// declined is called by a session that was to make room and has something to do after all.
func (g *Governor) declined() {
	if g != nil && g.processes.tooMany() > 0 {
		g.makeRoom()
	}
}

// spare is resting for a process that waits for a session: it is the first to make room.
func (g *Governor) spare(l *loop, end func()) bool {
	if g == nil {
		return false
	}
	if g.processes.wanted() {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rests[l] = rest{time.Time{}, end}
	return false
}

func (g *Governor) stirring(l *loop) {
	if g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.rests, l)
	}
}

// held is how long a query of the account has to wait, and why; 0 if it has not to. Of several that ask each gets a time of
// its own, behind the end of the hold.
func (g *Governor) held(account string) (time.Duration, string) {
	if g == nil {
		return 0, ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.holds[account]
	if h == nil {
		return 0, ""
	}
	left := h.left(g.now())
	if left <= 0 {
		return 0, ""
	}
	left += time.Duration(h.waiters)*rampStep + rand.N(rampStep)
	h.waiters++
	return left, h.Reason
}

// limited notes that an account has to wait until a time. It reports whether that is news.
func (g *Governor) limited(account string, until time.Time, reason string) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	until = now.Add(min(until.Sub(now), maxHold))
	h := g.holds[account]
	if !until.After(now) || h != nil && !until.After(now.Add(h.left(now))) {
		return false
	}
	failures := 0
	if h != nil {
		failures = h.Failures
	}
	g.holds[account] = &hold{Until: until, Reason: reason, Failures: failures}
	g.file.changed()
	return true
}

// overloaded notes that the API did not take a request of the account, after all the CLI's own tries. Those who hear the same at
// the same time count once.
func (g *Governor) overloaded(account string) (time.Time, bool) {
	if g == nil {
		return time.Time{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	h := g.holds[account]
	if h == nil {
		h = &hold{}
	}
	if h.left(now) > 0 {
		return h.Until, false
	}
	wait := lastOverload
	if h.Failures < 5 {
		wait = min(firstOverload<<h.Failures, lastOverload)
	}
	wait += rand.N(wait/5 + 1)
	g.holds[account] = &hold{Until: now.Add(wait), Reason: overloadReason, Failures: h.Failures + 1}
	g.file.changed()
	return now.Add(wait), true
}

// served notes that the API answers.
func (g *Governor) served(account string) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if h := g.holds[account]; h != nil && h.left(g.now()) <= 0 {
		delete(g.holds, account)
		g.file.changed()
	}
}

func (g *Governor) encode() ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return json.MarshalIndent(holdsFile{Version: holdsVersion, Holds: g.holds}, "", "  ")
}

// Flush waits until what holds sessions up is on disk, or could not be written.
func (g *Governor) Flush() { _ = g.file.flush() } // who made it was told of the failure

// slots are a number of things that may be had at a time, given to who has waited longest.
type slots struct {
	mu      sync.Mutex
	most    int // 0: as many as one likes
	used    int
	waiting []chan struct{}
	spares  []chan struct{} // behind all of waiting
}

func newSlots(most int) *slots { return &slots{most: most} }

// set says how many there are.
func (s *slots) set(most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = most
	s.hand()
}

// free reports whether there is one. s.mu is held.
func (s *slots) free() bool { return s.most == 0 || s.used < s.most }

// try takes one if nobody has to wait for it.
func (s *slots) try() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.free() || len(s.waiting) > 0 {
		return false
	}
	s.used++
	return true
}

// take takes one more, whether or not there is one.
func (s *slots) take() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used++
}

// acquire waits for one, as a spare one behind all others.
func (s *slots) acquire(ctx context.Context, spare bool) error {
	if s.try() {
		return nil
	}
	turn := make(chan struct{})
	s.mu.Lock()
	queue := &s.waiting
	if spare {
		queue = &s.spares
	}
	*queue = append(*queue, turn)
	s.hand()
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for i, other := range *queue {
		if other == turn {
			*queue = append((*queue)[:i:i], (*queue)[i+1:]...)
			s.hand() // a spare one may have waited for this one
			s.mu.Unlock()
			return context.Cause(ctx)
		}
	}
	s.mu.Unlock()
	s.release() // it was given one meanwhile
	return context.Cause(ctx)
}

func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	s.hand()
}

// hand gives what is free to those who wait. s.mu is held.
func (s *slots) hand() {
	for len(s.waiting) > 0 && s.free() {
		s.used++
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
	for len(s.waiting) == 0 && len(s.spares) > 0 && s.free() {
		s.used++
		close(s.spares[0])
		s.spares = s.spares[1:]
	}
}

// wanted reports whether somebody waits.
func (s *slots) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) > 0
}

// tooMany is how many would have to go so that all who wait have one.
func (s *slots) tooMany() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most == 0 {
		return 0
	}
	return max(s.used+len(s.waiting)-s.most, 0)
}

func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// bucket spreads what happens over time: burst at once, and one every so often in the long run.
type bucket struct {
	line *slots // of who waits: one at a time looks at the clock, so that who gives up has taken nothing

	mu    sync.Mutex
	every time.Duration // 0: as it comes
	burst int
	full  time.Time // when it will be full again
}

func newBucket() *bucket { return &bucket{line: newSlots(1)} }

// set says how many may happen a minute.
func (b *bucket) set(perMinute, burst int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.every, b.burst = 0, burst
	if perMinute > 0 {
		b.every = time.Minute / time.Duration(perMinute)
	}
}

// await returns when the next may happen, or ctx ends. waits is called if it has to wait.
func (b *bucket) await(ctx context.Context, spare bool, waits func()) error {
	if !b.line.try() {
		waits()
		if err := b.line.acquire(ctx, spare); err != nil {
			return err
		}
	}
	defer b.line.release()
	for {
		delay := b.take(time.Now())
		if delay == 0 {
			return nil
		}
		waits()
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take takes the next, or returns how long to wait for it.
func (b *bucket) take(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.every == 0 {
		return 0
	}
	if b.full.Before(now) {
		b.full = now
	}
	if wait := b.full.Sub(now) - time.Duration(b.burst-1)*b.every; wait > 0 {
		return wait
	}
	b.full = b.full.Add(b.every)
	return 0
}

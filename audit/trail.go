package audit

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"

	"github.com/understudy-run/understudy/actor"
)

// queueSize is how many records may be on their way into the log.
const queueSize = 1024

// Options say where the log is and how strict it is.
type Options struct {
	// Name is the audit actor's name, such as root/audit. Empty means "audit".
	Name string
	// Dir is the log's directory. It is created, with mode 0700, if it does not exist. One that exists and
	// is open to others is made 0700 if there is nothing but the log in it, and refused otherwise.
	Dir string
	// Mode is Required if not set.
	Mode Mode
	// Runtime is the runtime's id, in every record.
	Runtime string
	// Redact are secret values that must never be in the log, in whatever way JSON may spell them. Values
	// shorter than 8 bytes are ignored. [Trail.Redact] adds more.
	Redact []string
	// Levels say how much of tools' inputs and outputs is written; the first rule that fits decides. What
	// no rule fits is LevelRedacted.
	Levels []LevelRule
	// SegmentBytes and SegmentAge end a segment: the next begins when one is reached. 0 means 64 MiB and
	// 24 hours.
	SegmentBytes int64
	SegmentAge   time.Duration
	// KeepBytes and KeepAge let the oldest segments go when all of them are bigger than that, or when all
	// their records are older. 0 means never. Checkpoints are kept. Age is time that went by between segments: of a clock that has leapt
	// no more than twice SegmentAge (or half of KeepAge) counts, until the log has gone on for a week (or for KeepAge) after it.
	KeepBytes int64
	KeepAge   time.Duration
	// CheckpointRecords and CheckpointEvery say when a checkpoint is signed: after so many records, and at
	// most so long after a record. 0 means 1,000 and a second.
	CheckpointRecords int
	CheckpointEvery   time.Duration
	// Reserve is how many bytes are kept free for the last words of sessions when the disk is full. 0 means
	// 1 MiB, less than 0 none.
	Reserve int64
	// Signer signs checkpoints; its name is the log's origin and has to be the log's alone. nil means an
	// Ed25519 key made at the first opening and kept in the directory. VerifierKey is the key to check it
	// with, in the form of golang.org/x/mod/sumdb/note; it goes with Signer.
	Signer      note.Signer
	VerifierKey string
	// Sinks get the records beside the log: see Sink.
	Sinks []Sink
	// Anchors get the checkpoints, so that somebody else holds them: see Anchor.
	Anchors []Anchor
	// Logger gets a line for each opening and closing, at info level, for each repair and each gap, at warn
	// level, and for each failure, at error level. It never gets what a record says. The zero value is
	// silent.
	Logger zerolog.Logger
}

// Status is the state of a log at a moment.
type Status struct {
	// Path is the directory.
	Path string `json:"path"`
	Mode Mode   `json:"mode"`
	// Open says that the audit actor runs, that its file has not failed, and that the disk is not full.
	Open bool `json:"open"`
	// Origin is the name the checkpoints are signed with, empty before the first opening.
	Origin string `json:"origin,omitempty"`
	// SignedSeq is the last record that a checkpoint covers.
	SignedSeq uint64 `json:"signed_seq"`
	// Sinks are the sinks' states, Anchors the anchors'.
	Sinks   []SinkStatus   `json:"sinks,omitempty"`
	Anchors []AnchorStatus `json:"anchors,omitempty"`
	// DurableSeq is the last record that is known to be on disk, 0 if none.
	DurableSeq uint64 `json:"durable_seq"`
	// Lost is how many records were lost since New, whether or not the log says so already.
	Lost uint64 `json:"lost"`
	// LastError is the last failure to open or write the log, empty if there was none.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	// Queue is how many records are on their way, of QueueCapacity that may be.
	Queue         int `json:"queue"`
	QueueCapacity int `json:"queue_capacity"`
}

// Trail is the handle of an audit log. It stays valid while the audit actor is restarted. All its methods
// may be called from any goroutine.
type Trail struct {
	system   *actor.System
	options  Options
	disk     disk
	retry    time.Duration // between two tries to open a log that has failed, or to find room on a full disk
	now      func() time.Time
	redactor atomic.Pointer[redactor]
	levels   leveler
	memory   memory // the log's; one opening at a time has it
	opened   bool   // once at least; the opening's as well
	losses   ledger
	slots    chan struct{} // one for each record on its way
	starting chan struct{} // a lock that can be waited for with a context
	// entries are kept for the next record, with their channel and the buffer of what was encoded: only those whose Append
	// has had its outcome, so that nobody else has them.
	entries sync.Pool

	mu       sync.Mutex
	up       *incarnation  // takes records; nil if none does
	last     *incarnation  // the last one started
	changed  chan struct{} // closed when up is set
	durable  uint64
	signed   uint64
	grown    chan struct{} // closed when durable or signed grows; nil if nobody waits for it
	note     []byte        // the last checkpoint
	origin   string
	broken   bool      // the file failed and was not opened again, or is full
	said     string    // the failure that was logged last, since the log worked
	saidAt   time.Time // when
	sinks    []*sinkRun
	anchors  []*anchorRun
	failure  error
	failedAt time.Time
}

// New returns the handle of a log that is not open yet: see Start.
func New(system *actor.System, o Options) *Trail {
	if o.Name == "" {
		o.Name = "audit"
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 64<<20)
	o.SegmentAge = cmp.Or(o.SegmentAge, 24*time.Hour)
	o.CheckpointRecords = cmp.Or(o.CheckpointRecords, 1000)
	o.CheckpointEvery = cmp.Or(o.CheckpointEvery, time.Second)
	o.Reserve = cmp.Or(o.Reserve, 1<<20)
	t := &Trail{
		system: system, options: o, disk: realDisk{}, retry: time.Second, now: time.Now, levels: leveler{rules: o.Levels},
		slots: make(chan struct{}, queueSize), starting: make(chan struct{}, 1), changed: make(chan struct{}),
	}
	// The log's salt is known when it is open.
	t.redactor.Store(newRedactor(o.Redact, []byte(rand.Text())))
	for _, sink := range o.Sinks {
		t.sinks = append(t.sinks, newSinkRun(t, sink))
	}
	for _, anchor := range o.Anchors {
		t.anchors = append(t.anchors, &anchorRun{trail: t, anchor: anchor, busy: make(chan struct{}, 1)})
	}
	return t
}

// check reports options that cannot be meant.
func (o *Options) check() error {
	for _, rule := range o.Levels {
		if err := rule.Validate(); err != nil {
			return err
		}
	}
	if o.SegmentBytes < 0 || o.SegmentAge < 0 || o.KeepBytes < 0 || o.KeepAge < 0 || o.CheckpointRecords < 0 || o.CheckpointEvery < 0 {
		return errors.New("audit log: a size, age or count below 0: expected 0 for the default, or more")
	}
	names := make(map[string]bool)
	for _, sink := range o.Sinks {
		if err := sink.check(); err != nil {
			return err
		}
		if names[sink.Name] {
			return fmt.Errorf("audit sink %q: there are two of that name", sink.Name)
		}
		names[sink.Name] = true
	}
	return nil
}

// Start opens the log, repairs its end if a crash left it torn, writes log.opened and a checkpoint, and
// spawns the audit actor, which ends as its supervisor wants it to. It fits supervisor.ChildSpec.Start, and
// may be called again when the actor has ended. While another process has the log it fails with a
// *LockedError; when a file operation fails, with a *FileError; and when the log is not what its last
// checkpoint says, with a *ChangedError. A log that this Trail has had open before is tried again, once a second,
// for as long as file operations fail and ctx lasts.
//
// The actor traps exits: asked to stop, it writes what is queued, then log.closed, and closes the file.
func (t *Trail) Start(ctx context.Context) (actor.PID, error) {
	if err := t.options.check(); err != nil {
		t.fail(err)
		return actor.PID{}, err
	}
	select {
	case t.starting <- struct{}{}:
		defer func() { <-t.starting }()
	case <-ctx.Done():
		return actor.PID{}, fmt.Errorf("start audit log %s: %w", t.options.Dir, context.Cause(ctx))
	}
	t.mu.Lock()
	last := t.last
	t.mu.Unlock()
	if last != nil {
		if last.ref.Alive() {
			return actor.PID{}, fmt.Errorf("start audit log %s: it is running as %s", t.options.Dir, last.ref)
		}
		select {
		case <-last.released:
		case <-ctx.Done():
			return actor.PID{}, fmt.Errorf("start audit log %s: its last write has not returned: %w",
				t.options.Dir, context.Cause(ctx))
		}
	}
	log, err := t.openAgain(ctx)
	if err != nil {
		return actor.PID{}, err
	}
	if ctx.Err() != nil {
		log.close()
		return actor.PID{}, fmt.Errorf("start audit log %s: %w", t.options.Dir, context.Cause(ctx))
	}
	return t.spawn(log)
}

// openAgain opens the log. One that has been open is tried until it can be opened or ctx ends if it is a file operation that
// fails, as the actor itself would: a supervisor's delays grow, and would have the log shut for longer than there is a reason to.
func (t *Trail) openAgain(ctx context.Context) (*log, error) {
	for {
		begun := time.Now()
		log, err := t.open()
		if _, file := errors.AsType[*FileError](err); !file || !t.opened {
			return log, err
		}
		select {
		case <-time.After(max(t.retry, 4*time.Since(begun))):
		case <-ctx.Done():
			return nil, fmt.Errorf("start audit log %s: %w: %w", t.options.Dir, context.Cause(ctx), err)
		}
	}
}

// Settle waits, when the audit actor has ended, until the sinks have too, and the anchors have the last checkpoint or have failed
// with it: some two seconds at most, if they return when they are asked to. It returns the context's error if that ends before.
// A program that does not wait for it may end before its last checkpoint is anywhere else.
func (t *Trail) Settle(ctx context.Context) error {
	t.mu.Lock()
	last := t.last
	t.mu.Unlock()
	if last == nil {
		return nil
	}
	select {
	case <-last.quiet:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("audit log %s: sinks and anchors have not ended: %w", t.options.Dir, context.Cause(ctx))
	}
}

// Append writes a record and returns nil only when it is durable: its bytes are fsynced. Whatever it does
// not return nil for must not be relied on; it may be in the log nevertheless if ctx ended while it was
// being written.
//
// While the audit actor is down, or its log in Required mode, Append waits for its return, until ctx ends. When writing
// fails it returns a *FileError; the record is then not in the log, and not tried again. In BestEffort mode it waits for the
// actor only, and a record that does not get into the log is counted as lost as well.
//
// The records of one goroutine keep their order. The record is encoded before Append returns; it may be
// changed afterwards.
func (t *Trail) Append(ctx context.Context, r Record) error {
	at := time.Now()
	err := t.append(ctx, r)
	if err == nil {
		return nil
	}
	var counted *settledError // who settled the record has counted it, or will
	if !errors.As(err, &counted) && t.options.Mode == BestEffort {
		t.lose(r.Kind, at, lossReason(err))
	}
	if counted != nil {
		err = counted.err
	}
	return fmt.Errorf("append %s to audit log: %w", r.Kind, err)
}

// settledError is an outcome that is already in the ledger where it has to be.
type settledError struct{ err error }

func (e *settledError) Error() string { return e.err.Error() }
func (e *settledError) Unwrap() error { return e.err }

func lossReason(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return lossLate
	default:
		return lossInvalid
	}
}

func (t *Trail) append(ctx context.Context, r Record) error {
	e, err := t.entry(&r, false)
	if err != nil {
		return err
	}
	select {
	case t.slots <- struct{}{}:
	default:
		select {
		case t.slots <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("%d records are waiting to be written: %w", queueSize, context.Cause(ctx))
		}
	}
	for {
		in, err := t.wait(ctx)
		if err != nil {
			<-t.slots
			return err
		}
		e.state.Store(waiting)
		if !t.hand(in, e) {
			continue
		}
		select {
		case err = <-e.done:
		case <-ctx.Done():
			if e.state.CompareAndSwap(waiting, abandoned) {
				return &settledError{context.Cause(ctx)}
			}
			err = <-e.done
		}
		if !errors.Is(err, errAgain) {
			if err != nil {
				return &settledError{err}
			}
			t.recycle(e)
			return nil
		}
	}
}

// Post hands a record over without waiting for it to be written. A loss (too many records waiting, no
// audit actor, a failed write, an invalid record) is counted, and later recorded as a gap. What it costs
// the caller is encoding and redaction: microseconds, or a few milliseconds for each MiB of a large body.
func (t *Trail) Post(r Record) {
	at := time.Now()
	e, err := t.entry(&r, true)
	if err != nil {
		t.lose(r.Kind, at, lossInvalid)
		return
	}
	select {
	case t.slots <- struct{}{}:
	default:
		t.lose(r.Kind, at, lossQueueFull)
		return
	}
	t.mu.Lock()
	in := t.up
	t.mu.Unlock()
	if in == nil || !t.hand(in, e) {
		<-t.slots
		t.lose(r.Kind, at, lossDown)
	}
}

// Lose counts a record that its sender held back, as one does that tells of the log's own end, and could not keep until the log was
// there again. The gap that stands for it has r.Time, or the time of the call.
func (t *Trail) Lose(r Record) {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	t.lose(r.Kind, r.Time, lossCrowded)
}

// Redact adds secret values to those that are kept out of the log: see Options.Redact. It holds for all
// records handed over after it has returned.
func (t *Trail) Redact(values ...string) {
	for {
		before := t.redactor.Load()
		if t.redactor.CompareAndSwap(before, before.with(values)) {
			return
		}
	}
}

// Log is the log, for reading.
func (t *Trail) Log() Log { return Log{t.options.Dir} }

// Mode is Options.Mode.
func (t *Trail) Mode() Mode { return t.options.Mode }

// Health is nil if records can be made durable now, as far as anybody knows, and says why not otherwise.
func (t *Trail) Health() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.up != nil && !t.broken:
		return nil
	case t.failure != nil:
		return t.failure
	default:
		return errNotRunning
	}
}

var errNotRunning = errors.New("the audit log is not open")

// Status describes the log. It does not go through the actor's mailbox, so that it also answers while a
// write hangs.
func (t *Trail) Status() Status {
	s := Status{
		Path: t.options.Dir, Mode: t.options.Mode, Lost: t.losses.count(),
		Queue: len(t.slots), QueueCapacity: cap(t.slots),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Open = t.up != nil && !t.broken
	s.DurableSeq, s.SignedSeq, s.Origin = t.durable, t.signed, t.origin
	for _, sink := range t.sinks {
		s.Sinks = append(s.Sinks, sink.status())
	}
	for _, anchor := range t.anchors {
		s.Anchors = append(s.Anchors, anchor.status())
	}
	if t.failure != nil {
		s.LastError, s.LastErrorAt = t.failure.Error(), t.failedAt
	}
	return s
}

// maxEntry bounds the memory that is kept for the next record.
const maxEntry = 16 << 10

func (t *Trail) recycle(e *entry) {
	if cap(e.rest) <= maxEntry {
		t.entries.Put(e)
	}
}

// entry checks and encodes a record.
func (t *Trail) entry(r *Record, post bool) (*entry, error) {
	if own, known := kinds[r.Kind]; !known || own {
		return nil, fmt.Errorf("kind %.40q: expected one of the Kind constants that do not begin with log", r.Kind)
	}
	now := time.Now()
	r.Runtime, r.ID, r.MonoNS = t.options.Runtime, "", now.Sub(began).Nanoseconds()
	if r.Time.IsZero() {
		r.Time = now
	}
	e, _ := t.entries.Get().(*entry)
	if e == nil {
		e = &entry{done: make(chan error, 1)}
	}
	encoded, err := encode(*r, t.redactor.Load(), t.levels.levels(r), e.rest)
	if err != nil {
		return nil, err
	}
	e.encoded, e.at, e.post = encoded, r.Time, post
	return e, nil
}

// wait returns the incarnation that takes records, as soon as there is one.
func (t *Trail) wait(ctx context.Context) (*incarnation, error) {
	for {
		t.mu.Lock()
		in, changed, failure := t.up, t.changed, t.failure
		t.mu.Unlock()
		if in != nil {
			return in, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if failure != nil {
				return nil, fmt.Errorf("the audit actor is down (%w): %w", failure, context.Cause(ctx))
			}
			return nil, fmt.Errorf("the audit actor is down: %w", context.Cause(ctx))
		}
	}
}

// hand gives an entry to an incarnation. If it reports false, the incarnation is over and the entry is the
// caller's again.
func (t *Trail) hand(in *incarnation, e *entry) bool {
	if taken, tell := in.admit(e); taken {
		if !tell || in.ref.Send(arrived{}) == nil {
			return true
		}
		if !in.withdraw(e) {
			return true // taken as a leftover in the meantime: the outcome is on its way
		}
	}
	t.down(in)
	return false
}

// serve takes an incarnation into use again.
func (t *Trail) serve(in *incarnation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.up == nil && t.last == in {
		t.up = in
		close(t.changed)
	}
}

// down takes an incarnation out of use.
func (t *Trail) down(in *incarnation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.up == in {
		t.up = nil
		t.changed = make(chan struct{})
	}
}

// lose counts a loss and sees to it that it is recorded also when nothing else comes.
func (t *Trail) lose(kind Kind, at time.Time, reason string) {
	t.losses.lose(kind, at, reason)
	t.mu.Lock()
	in := t.up
	t.mu.Unlock()
	if in != nil && in.flushing.CompareAndSwap(false, true) {
		_ = in.ref.Send(flush{}) // an error means that it is over; the next one begins with the losses
	}
}

// failed notes an error for Status.
func (t *Trail) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failure, t.failedAt = err, time.Now()
}

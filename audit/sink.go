package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Sink gets the records of a log, in order, each at least once, when they are durable. It never holds the
// log back: it reads what is on disk, and how far it got is kept in the log's directory, also over
// restarts. A sink that is new begins with the oldest record there is. Records that were removed as too
// old before the sink got to them, or are damaged, are not delivered: they are counted in SinkStatus.Missed, and each
// hole is a line in the log of Options.Logger.
type Sink struct {
	// Name tells sinks apart, also after a restart: letters, digits, - and _.
	Name string
	// Deliver takes records. When it returns an error, or panics, the same records come again, after a
	// second at first and a minute at most. It is called by one goroutine, and has to return when ctx ends,
	// which it does when the audit actor ends.
	Deliver func(ctx context.Context, records []Record) error
	// Batch is how many records come at once at most; 0 means 256.
	Batch int
}

func (s Sink) check() error {
	if s.Name == "" || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return fmt.Errorf("audit sink %.40q: expected a name of letters, digits, - and _", s.Name)
	}
	if s.Deliver == nil {
		return fmt.Errorf("audit sink %q: Deliver is nil", s.Name)
	}
	return nil
}

// CallbackSink calls a function for each record. Record.ID, and Seq in one log, tells whether a record has come before.
func CallbackSink(name string, call func(Record)) Sink {
	return Sink{Name: name, Deliver: func(_ context.Context, records []Record) error {
		for _, r := range records {
			call(r)
		}
		return nil
	}}
}

// LoggerSink writes a line for each record, at info level: who, what and when, without input, output and
// detail. A record that comes again has a line of the same seq again.
func LoggerSink(name string, logger zerolog.Logger) Sink {
	return CallbackSink(name, func(r Record) {
		e := logger.Info().Uint64("seq", r.Seq).Time("at", r.Time).Str("kind", string(r.Kind))
		for key, value := range map[string]string{
			"session": r.Session, "tool": r.Tool, "tool_use_id": r.ToolUseID, "outcome": string(r.Outcome), "principal": r.Principal,
		} {
			if value != "" {
				e = e.Str(key, value)
			}
		}
		e.Msg("audit")
	})
}

// HTTPSink posts batches as JSON lines, content type application/x-ndjson. post does the request, and
// returns an error unless the batch is safe there: this package has no HTTP of its own. The receiver leaves out the ids that it has.
func HTTPSink(name string, post func(ctx context.Context, contentType string, body []byte) error) Sink {
	return Sink{Name: name, Deliver: func(ctx context.Context, records []Record) error {
		var body bytes.Buffer
		encoder := json.NewEncoder(&body)
		encoder.SetEscapeHTML(false)
		for _, r := range records {
			if err := encoder.Encode(r); err != nil {
				return err
			}
		}
		return post(ctx, "application/x-ndjson", body.Bytes())
	}}
}

// SinkStatus is the state of a sink at a moment.
type SinkStatus struct {
	Name string `json:"name"`
	// DeliveredSeq is the last record it took.
	DeliveredSeq uint64 `json:"delivered_seq"`
	// Missed is how many records it did not get since New, because they were removed as too old before, or are damaged.
	Missed uint64 `json:"missed,omitempty"`
	// LastError is its last failure, empty if what came after worked.
	LastError string `json:"last_error,omitempty"`
}

// sinkRun is a sink at work.
type sinkRun struct {
	trail *Trail
	sink  Sink
	path  string
	busy  chan struct{} // held while it runs: the next incarnation's may come before this one's has returned

	mu     sync.Mutex
	cursor uint64
	missed uint64
	err    error
}

func newSinkRun(t *Trail, s Sink) *sinkRun {
	if s.Batch <= 0 {
		s.Batch = 256
	}
	return &sinkRun{trail: t, sink: s, path: filepath.Join(t.options.Dir, prefix+"sink-"+s.Name), busy: make(chan struct{}, 1)}
}

func (s *sinkRun) status() SinkStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := SinkStatus{Name: s.sink.Name, DeliveredSeq: s.cursor, Missed: s.missed}
	if s.err != nil {
		status.LastError = s.err.Error()
	}
	return status
}

func (s *sinkRun) note(cursor uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor, s.err = cursor, err
}

// run delivers until ctx ends.
func (s *sinkRun) run(ctx context.Context) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return
	}
	cursor := s.load()
	if durable, _ := s.trail.progress(); cursor > durable { // it is of no log that is here: at least once
		s.trail.options.Logger.Warn().Str("sink", s.sink.Name).Uint64("cursor", cursor).Uint64("seq", durable).
			Msg("audit sink was further than the log is, and begins with the oldest record")
		cursor = 0
	}
	s.note(cursor, nil)
	f := &follower{dir: s.trail.options.Dir, after: cursor}
	defer f.close()
	var batch []Record
	wait := s.trail.retry
	for ctx.Err() == nil {
		durable, grown := s.trail.progress()
		if len(batch) == 0 && durable > cursor {
			f.limit = durable
			f.poll(ctx, func(r Record, err error) bool {
				if err == nil {
					batch = append(batch, r)
				}
				return len(batch) < s.sink.Batch
			})
		}
		if len(batch) == 0 {
			if !pause(ctx, grown, 0) {
				return
			}
			continue
		}
		if err := s.deliver(ctx, batch); err != nil {
			s.note(cursor, err)
			s.trail.options.Logger.Warn().Err(err).Str("sink", s.sink.Name).Msg("audit sink failed")
			if !pause(ctx, nil, wait) {
				return
			}
			wait = min(2*wait, 60*s.trail.retry)
			continue
		}
		wait = s.trail.retry
		s.miss(cursor, batch)
		cursor, batch = batch[len(batch)-1].Seq, nil
		s.note(cursor, s.save(cursor))
	}
}

// miss counts the records that are not in a batch though they should be. What was there before a sink was new is none of it.
func (s *sinkRun) miss(cursor uint64, batch []Record) {
	for _, r := range batch {
		if cursor > 0 && r.Seq > cursor+1 {
			s.mu.Lock()
			s.missed += r.Seq - cursor - 1
			s.mu.Unlock()
			s.trail.options.Logger.Warn().Str("sink", s.sink.Name).Uint64("from", cursor+1).Uint64("through", r.Seq-1).
				Msg("audit sink did not get records: they were removed as too old, or are damaged")
		}
		cursor = r.Seq
	}
}

func (s *sinkRun) deliver(ctx context.Context, batch []Record) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("audit sink %s panicked: %v", s.sink.Name, v)
		}
	}()
	return s.sink.Deliver(ctx, batch)
}

// load reads the cursor. One that cannot be read makes the sink begin anew: at least once.
func (s *sinkRun) load() uint64 {
	data, err := os.ReadFile(s.path)
	if err != nil {
		return 0
	}
	seq, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 62)
	if err != nil {
		return 0
	}
	return seq
}

func (s *sinkRun) save(cursor uint64) error {
	temporary := s.path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d\n", cursor)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, s.path)
}

// progress is how far the log is durable, and a channel that is closed when that changes.
func (t *Trail) progress() (uint64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.durable, t.growth()
}

// growth is a channel that is closed when the log grows. It is called with t.mu held.
func (t *Trail) growth() <-chan struct{} {
	if t.grown == nil {
		t.grown = make(chan struct{})
	}
	return t.grown
}

// pause waits for a change, or for some time if that is not 0. It reports false when ctx has ended.
func pause(ctx context.Context, changed <-chan struct{}, d time.Duration) bool {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
	case <-over:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// Anchor gets the signed checkpoints of a log, to be kept where whoever can change the log cannot change
// them: that is what makes a log that was rolled back, or written anew with the stolen key, show. It gets
// the newest one; those that come while it is at work are left out, since a later one covers them.
type Anchor struct {
	// Name is for messages.
	Name string
	// Publish takes one checkpoint, of about 200 bytes. When it returns an error the newest comes again,
	// after a second at first and a minute at most. It has to return when ctx ends.
	Publish func(ctx context.Context, checkpoint []byte) error
}

// FileAnchor appends the checkpoints to a file, which is created with mode 0600 if it does not exist:
// best on another file system, or one that can be appended to only. It is what verify's --checkpoint reads.
func FileAnchor(path string) Anchor {
	return Anchor{Name: path, Publish: func(_ context.Context, checkpoint []byte) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		return errors.Join(appendWhole(f, checkpoint), f.Close())
	}}
}

// appendWhole appends to a file and syncs it. A part of a checkpoint, which a full disk leaves, is taken away again: with the next
// behind it, it would look as if somebody had changed it.
func appendWhole(f interface {
	io.Writer
	Sync() error
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
}, content []byte) error {
	n, err := f.Write(content)
	if err == nil {
		return f.Sync()
	}
	if n > 0 {
		info, lost := f.Stat()
		if lost == nil {
			lost = f.Truncate(info.Size() - int64(n))
		}
		err = errors.Join(err, lost)
	}
	return err
}

// AnchorStatus is the state of an anchor at a moment.
type AnchorStatus struct {
	Name string `json:"name"`
	// SignedSeq is the last record that the newest checkpoint covers that it took.
	SignedSeq uint64 `json:"signed_seq"`
	// LastError is its last failure, empty if what came after worked.
	LastError string `json:"last_error,omitempty"`
}

// lastTime is how long an anchor has for the last checkpoint when the audit actor has ended.
const lastTime = 2 * time.Second

// anchorRun is an anchor at work.
type anchorRun struct {
	trail  *Trail
	anchor Anchor
	busy   chan struct{} // as a sink's

	mu  sync.Mutex
	seq uint64
	err error
}

func (a *anchorRun) status() AnchorStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	status := AnchorStatus{Name: a.anchor.Name, SignedSeq: a.seq}
	if a.err != nil {
		status.LastError = a.err.Error()
	}
	return status
}

// newest is the newest checkpoint, how many records it covers, and a channel that is closed when there is more.
func (a *anchorRun) newest() ([]byte, uint64, <-chan struct{}) {
	t := a.trail
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.note, t.signed, t.growth()
}

// run gives the anchor the checkpoints until ctx ends.
func (a *anchorRun) run(ctx context.Context) {
	select {
	case a.busy <- struct{}{}:
	case <-ctx.Done():
		timer := time.NewTimer(lastTime)
		defer timer.Stop()
		select {
		case a.busy <- struct{}{}:
		case <-timer.C:
			return
		}
	}
	defer func() { <-a.busy }()
	t := a.trail
	var published []byte
	wait := t.retry
	for {
		newest, seq, grown := a.newest()
		if bytes.Equal(newest, published) {
			if !pause(ctx, grown, 0) {
				break
			}
			continue
		}
		if err := a.publish(ctx, newest, seq); err != nil {
			t.options.Logger.Warn().Err(err).Str("anchor", a.anchor.Name).Msg("audit checkpoint not anchored")
			if !pause(ctx, nil, wait) {
				break
			}
			wait = min(2*wait, 60*t.retry)
			continue
		}
		published, wait = newest, t.retry
		if ctx.Err() != nil {
			break
		}
	}
	// The last one is the one that counts most.
	if newest, seq, _ := a.newest(); !bytes.Equal(newest, published) {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
		defer cancel()
		if err := a.publish(last, newest, seq); err != nil {
			t.options.Logger.Warn().Err(err).Str("anchor", a.anchor.Name).Msg("last audit checkpoint not anchored")
		}
	}
}

func (a *anchorRun) publish(ctx context.Context, checkpoint []byte, seq uint64) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("audit anchor %s panicked: %v", a.anchor.Name, v)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.err = err; err == nil {
			a.seq = seq
		}
	}()
	return a.anchor.Publish(ctx, checkpoint)
}

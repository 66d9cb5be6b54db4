package remote

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/toolname"
)

// WitnessOptions say how a witness works.
type WitnessOptions struct {
	// Name is its actor's, such as root/witness. Empty means "witness".
	Name string
	// Grace is how long the CLI may be behind the log, or the log behind the CLI, before that is a difference. The CLI
	// reports once a second. 0 means 15 s.
	Grace time.Duration
	// Report takes the differences, as records of the kind audit.WitnessDiffers.
	Report func(audit.Record)
	// Logger gets a line for each difference, at error level. The zero value is silent.
	Logger zerolog.Logger
}

// WitnessStatus counts what a witness has seen.
type WitnessStatus struct {
	// Events are those of the CLIs, Missing how many of them never arrived, by their numbers.
	Events  uint64 `json:"events"`
	Missing uint64 `json:"missing"`
	// Matched are tool uses of which log and CLI say the same, Differences those of which they do not.
	Matched     uint64 `json:"matched"`
	Differences uint64 `json:"differences"`
	// Open are tool uses that wait to be compared.
	Open int `json:"open"`
}

// Witness hears from the CLIs themselves what tools they use, by their OpenTelemetry events on loopback, and compares that
// with the log, by tool use id. It is evidence beside the log that does not come through the hooks which the log hangs on:
// a tool that ran without an intent shows, and so does a result that the CLI knows nothing of.
//
// It is no protection against a tool that lies: what is in the CLI's environment, this address and its token too, a tool can
// see. What such a tool can do is make differences.
type Witness struct {
	options  WitnessOptions
	token    string
	listener net.Listener
	server   *http.Server
	served   chan struct{}
	begun    chan struct{} // closed when there is an actor
	now      func() time.Time

	mu  sync.Mutex
	ref actor.Ref[witnessMessage]

	events, missing, matched, differences atomic.Uint64
	open                                  atomic.Int64
}

// NewWitness listens on a port of loopback. Start has it compare; Close ends it.
func NewWitness(o WitnessOptions) (*Witness, error) {
	if o.Name == "" {
		o.Name = "witness"
	}
	if o.Grace == 0 {
		o.Grace = 15 * time.Second
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("audit witness: %w", err)
	}
	w := &Witness{options: o, token: rand.Text(), listener: listener, served: make(chan struct{}), begun: make(chan struct{}), now: time.Now}
	w.server = &http.Server{Handler: http.HandlerFunc(w.receive), ReadTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	go func() { // ends with Close
		defer close(w.served)
		_ = w.server.Serve(listener) // what it ends with is that it was closed
	}()
	return w, nil
}

// Close stops listening.
func (w *Witness) Close() error {
	err := w.server.Close()
	<-w.served
	return err
}

// Env is what a CLI's environment needs, to report to the witness.
func (w *Witness) Env() map[string]string {
	return map[string]string{
		"CLAUDE_CODE_ENABLE_TELEMETRY":     "1",
		"OTEL_LOGS_EXPORTER":               "otlp",
		"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json",
		"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://" + w.listener.Addr().String() + "/v1/logs",
		"OTEL_EXPORTER_OTLP_LOGS_HEADERS":  "Authorization=Bearer " + w.token,
		"OTEL_LOGS_EXPORT_INTERVAL":        "1000",
	}
}

// Token is what the CLIs report with: it must not be in the log.
func (w *Witness) Token() string { return w.token }

// Sink gives the witness the log's side.
func (w *Witness) Sink() audit.Sink {
	return audit.Sink{Name: "witness", Deliver: func(ctx context.Context, records []audit.Record) error {
		select {
		case <-w.begun:
			return w.actor().SendWait(ctx, logged{records})
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
}

// Status describes it.
func (w *Witness) Status() WitnessStatus {
	return WitnessStatus{w.events.Load(), w.missing.Load(), w.matched.Load(), w.differences.Load(), int(w.open.Load())}
}

// maxReport bounds one request of a CLI.
const maxReport = 8 << 20

// receive takes a request of a CLI.
func (w *Witness) receive(out http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+w.token)) != 1 {
		http.Error(out, "the token is another", http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/logs" {
		http.NotFound(out, r)
		return
	}
	body := io.Reader(http.MaxBytesReader(out, r.Body, maxReport))
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		body = io.LimitReader(unpacked, maxReport)
	}
	data, err := io.ReadAll(body)
	if err == nil {
		var reports []report
		if reports, err = readOTLP(data); err == nil {
			err = w.actor().SendWait(r.Context(), heard{reports})
		}
		if errors.Is(err, actor.ErrStopped) { // it is being restarted: the CLI sends it again
			http.Error(out, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	out.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(out, "{}") // a client that is gone has sent all the same
}

func (w *Witness) actor() actor.Ref[witnessMessage] {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ref
}

// witnessMessage is what the witness's actor receives.
//
//sumtype:decl
type witnessMessage interface{ isWitnessMessage() }

type (
	heard  struct{ reports []report }       // from a CLI
	logged struct{ records []audit.Record } // from the log
	look   struct{}                         // it is time to compare
)

func (heard) isWitnessMessage()  {}
func (logged) isWitnessMessage() {}
func (look) isWitnessMessage()   {}

// Start spawns the actor that compares. It fits supervisor.ChildSpec.Start. An actor that is started again begins with an
// empty book.
func (w *Witness) Start(_ context.Context, system *actor.System) (actor.PID, error) {
	ref, err := actor.Spawn(system, actor.Spec{Name: w.options.Name}, &comparer{
		witness: w, book: newBook(w.options.Grace, w.now()), last: make(map[string]int64),
	})
	if err != nil {
		return actor.PID{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ref = ref
	select {
	case <-w.begun:
	default:
		close(w.begun)
	}
	return ref.PID, nil
}

// comparer is the actor.
type comparer struct {
	witness *Witness
	book    *book
	last    map[string]int64 // the last number of each conversation's events
}

var _ actor.Starter[witnessMessage] = (*comparer)(nil)

// Started has it look from time to time.
func (p *comparer) Started(c *actor.Context[witnessMessage]) error {
	c.After(p.witness.options.Grace/4, look{})
	return nil
}

// Receive handles one message.
func (p *comparer) Receive(c *actor.Context[witnessMessage], m witnessMessage) {
	now := p.witness.now()
	switch m := m.(type) {
	case heard:
		for _, r := range m.reports {
			p.count(r)
			p.book.event(r.toolEvent, now)
		}
	case logged:
		for _, r := range m.records {
			p.book.record(r, now)
		}
	case look:
		c.After(p.witness.options.Grace/4, look{})
	}
	p.settle(now)
}

// Stopped compares what has had its time.
func (p *comparer) Stopped(*actor.Context[witnessMessage], error) { p.settle(p.witness.now()) }

// maxConversations bounds of how many conversations the last number is kept.
const maxConversations = 10_000

// count sees which events are missing. A process's numbers begin anew, and those of one request are in order.
func (p *comparer) count(r report) {
	p.witness.events.Add(1)
	if r.sequence <= 0 {
		return
	}
	last, known := p.last[r.session]
	if !known && len(p.last) >= maxConversations {
		clear(p.last)
	}
	if known && r.sequence > last+1 {
		p.witness.missing.Add(uint64(r.sequence - last - 1))
	}
	p.last[r.session] = r.sequence
}

func (p *comparer) settle(now time.Time) {
	w := p.witness
	for _, d := range p.book.settle(now) {
		w.differences.Add(1)
		w.options.Logger.Error().Str("session", d.name).Str("tool_use_id", d.id).Str("tool", d.tool).Msg("audit witness: " + d.text)
		if w.options.Report == nil {
			continue
		}
		w.options.Report(audit.Record{
			Kind: audit.WitnessDiffers, Actor: w.options.Name, Session: d.name, SessionID: d.session, ToolUseID: d.id, Tool: toolname.Now(d.tool),
			Detail: map[string]any{"difference": d.text, "events": d.events, "records": d.records},
		})
	}
	w.matched.Store(p.book.matched)
	w.open.Store(int64(len(p.book.uses)))
}

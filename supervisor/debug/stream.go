package debug

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// TypeError is the type of the line that ends a stream which had begun and could not go on.
const TypeError = "understudy_error"

// errorLine is such a line.
type errorLine struct {
	Type    string `json:"type"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// defaultAudit and maxAudit are how many records GET audit gives without n, and at most.
const (
	defaultAudit = 100
	maxAudit     = 100_000
)

// lines is an answer of JSON objects, one a line, each sent at once.
type lines struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	begun      bool
}

func newLines(w http.ResponseWriter) *lines {
	return &lines{w: w, controller: http.NewResponseController(w)}
}

func (l *lines) begin() error {
	if l.begun {
		return nil
	}
	l.begun = true
	header := l.w.Header()
	header.Set("Content-Type", "application/x-ndjson")
	header.Set("X-Accel-Buffering", "no")
	l.w.WriteHeader(http.StatusOK)
	return l.flush()
}

func (l *lines) put(line []byte) error {
	if err := l.begin(); err != nil {
		return err
	}
	if bytes.ContainsAny(line, "\n\r") {
		// Between tokens a line break is only space, and inside of strings JSON has none.
		line = bytes.ReplaceAll(bytes.ReplaceAll(line, []byte("\n"), []byte(" ")), []byte("\r"), []byte(" "))
	}
	if _, err := l.w.Write(append(bytes.Clone(line), '\n')); err != nil {
		return err
	}
	return l.flush()
}

// end finishes the answer with what went wrong, if anything did.
func (l *lines) end(err error) {
	switch {
	case err == nil:
		_ = l.begin() // an error means that the client is gone
	case !l.begun:
		refuse(l.w, err)
	default:
		line, _ := json.Marshal(errorLine{TypeError, CodeOf(err), cut(err.Error(), maxDetail)}) // strings always can be
		_ = l.put(line)                                                                         // the client is gone
	}
}

// flush sends what was written. Under a server that cannot the lines come when it likes.
func (l *lines) flush() error {
	if err := l.controller.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// query sends a prompt and streams the frames of its turn. There is no limit on how long the client may
// take to read: it may be a person with a pager. What it has not taken waits in the session, which has
// such a limit. A client that goes away ends the backend's iteration.
func (h *handler) query(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Prompt  string          `json:"prompt"`
		Content json.RawMessage `json:"content"`
	}
	if err := h.body(w, r, &request); err != nil {
		refuse(w, err)
		return
	}
	content, takesContent := h.backend.(ContentBackend)
	switch {
	case request.Prompt == "" && request.Content == nil:
		refuse(w, &Error{BadRequest, "the prompt is empty"})
		return
	case request.Prompt != "" && request.Content != nil:
		refuse(w, &Error{BadRequest, "prompt and content exclude each other: text is a block of the content too"})
		return
	case request.Content != nil && !takesContent:
		refuse(w, &Error{BadRequest, "sessions here take text only: use prompt"})
		return
	}
	patient(w)
	name := r.PathValue("name")
	out := newLines(w)
	out.end(h.recorded(r, "query", name, func() error {
		frames := h.backend.Query(r.Context(), name, request.Prompt)
		if request.Content != nil {
			frames = content.QueryContent(r.Context(), name, request.Content)
		}
		for frame, err := range frames {
			if err != nil {
				return err
			}
			if err := out.put(frame); err != nil {
				return fmt.Errorf("the client went away: %w", err)
			}
		}
		return nil
	}))
}

// frames gives everything that a session's CLI says, from now on. That is what prompts, answers and tools say, which
// those may read who may act.
func (h *handler) frames(w http.ResponseWriter, r *http.Request) {
	if err := h.guard.reads(r); err != nil {
		if CodeOf(err) == Unauthorized {
			challenge(w, true)
		}
		refuse(w, err)
		return
	}
	if err := h.takeStream(); err != nil {
		refuse(w, err)
		return
	}
	defer h.freeStream()
	patient(w)
	ctx, cancel := untilClosing(r.Context())
	defer cancel()
	name := r.PathValue("name")
	if _, err := h.backend.History(ctx, name); err != nil {
		refuse(w, err)
		return
	}
	out := newLines(w)
	if out.begin() != nil {
		return
	}
	for frame, err := range h.backend.Watch(ctx, name) {
		if err != nil {
			if ctx.Err() == nil {
				out.end(err)
			}
			return
		}
		if out.put(frame) != nil {
			return
		}
	}
	out.end(nil)
}

func (h *handler) audit(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	followed, _ := strconv.ParseBool(r.URL.Query().Get("follow")) // what it is else is said below, or the page does not mind
	if !followed && prefers(r, "text/html", "application/x-ndjson") {
		h.shared.serve(h.auditPage)(w, r)
		return
	}
	if err := unknownParameter(r.URL.Query()); err != nil {
		refuse(w, err)
		return
	}
	if asksForPage(r.URL.Query()) {
		h.auditPages(w, r)
		return
	}
	n, follow, err := auditQuery(r)
	if err != nil {
		refuse(w, err)
		return
	}
	ctx := r.Context()
	out := newLines(w)
	if follow {
		if err := h.takeStream(); err != nil {
			refuse(w, err)
			return
		}
		defer h.freeStream()
		patient(w)
		var cancel context.CancelFunc
		ctx, cancel = untilClosing(ctx)
		defer cancel()
		if out.begin() != nil { // nothing may be there to send for long
			return
		}
	}
	for record, err := range h.backend.Audit(ctx, n, follow) {
		if err != nil {
			if ctx.Err() == nil {
				out.end(err)
			}
			return
		}
		if out.put(record) != nil {
			return
		}
	}
	out.end(nil)
}

func auditQuery(r *http.Request) (n int, follow bool, err error) {
	n = defaultAudit
	query := r.URL.Query()
	if text := query.Get("n"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 0 || n > maxAudit {
			return 0, false, &Error{BadRequest, fmt.Sprintf("n=%s: expected a number from 0 to %d", cut(text, 40), maxAudit)}
		}
	}
	if text := query.Get("follow"); text != "" {
		if follow, err = strconv.ParseBool(text); err != nil {
			return 0, false, &Error{BadRequest, fmt.Sprintf("follow=%s: expected true or false", cut(text, 40))}
		}
	}
	return n, follow, nil
}

// takeStream bounds the streams that do not end by themselves.
func (h *handler) takeStream() error {
	select {
	case h.streams <- struct{}{}:
		return nil
	default:
		return &Error{Unavailable, fmt.Sprintf("%d streams are open already: close some pages or followed logs", maxStreams)}
	}
}

func (h *handler) freeStream() { <-h.streams }

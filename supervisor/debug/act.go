package debug

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxIdleBody is how much may be sent, in bytes, where nothing is expected.
const maxIdleBody = 4096

// maxName is how long a session's name may be, in bytes.
const maxName = 128

// patient lifts the server's limits on the time that a request takes, which are made for answers that
// are known at once. The body must have been read: until then the limit is what ends a client that sends
// one byte a minute.
func patient(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	// A server that does not know deadlines has none either. The read deadline would cancel the
	// request's context: net/http takes it for the client's going away.
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{})
}

// body reads the request's document.
func (h *handler) body(w http.ResponseWriter, r *http.Request, into any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		// A form, which any page can send, is no JSON.
		return &Error{UnsupportedMedia, fmt.Sprintf("the body must be a JSON object with Content-Type: application/json, not %q", cut(r.Header.Get("Content-Type"), 100))}
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, h.options.MaxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		_, err = decoder.Token()
		if err == nil {
			return &Error{BadRequest, "the body goes on after its JSON object"}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Error{TooLarge, fmt.Sprintf("the body is longer than %d bytes: put long text into a file that the session can read", tooLarge.Limit)}
	}
	return &Error{BadRequest, fmt.Sprintf("the body is not the expected JSON object: %v", err)}
}

func (h *handler) spawn(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name    string   `json:"name"`
		Options []string `json:"options"`
	}
	if err := h.body(w, r, &request); err != nil {
		refuse(w, err)
		return
	}
	patient(w)
	err := h.recorded(r, "spawn", request.Name, func() error {
		if err := checkSpawn(request.Name, request.Options); err != nil {
			return err
		}
		return h.backend.Spawn(r.Context(), request.Name, request.Options)
	})
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Location", "sessions/"+url.PathEscape(request.Name))
	w.WriteHeader(http.StatusCreated)
}

// checkSpawn refuses names that could not be addressed afterwards, and options that are none.
func checkSpawn(name string, options []string) error {
	unusable := func(r rune) bool {
		return r == '/' || r == '\\' || r == unicode.ReplacementChar || unicode.IsSpace(r) || !unicode.IsPrint(r)
	}
	if name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsFunc(name, unusable) {
		return &Error{BadRequest, fmt.Sprintf("session name %q: expected 1 to %d bytes without slashes, spaces and control characters", cut(name, 200), maxName)}
	}
	for _, option := range options {
		if key, _, found := strings.Cut(option, "="); !found || key == "" {
			return &Error{BadRequest, fmt.Sprintf("option %q: expected key=value", cut(option, 200))}
		}
	}
	return nil
}

// act serves what needs no more than the session's name.
func (h *handler) act(action string, do func(ctx context.Context, name string) error) http.HandlerFunc {
	return h.actThen(action, do, func(name string) string { return "../" + url.PathEscape(name) })
}

// remove removes a session, also by a form of the page, which is led to the tree.
func (h *handler) remove(w http.ResponseWriter, r *http.Request) {
	force, err := yes(r, "force")
	if err != nil {
		refuse(w, err)
		return
	}
	tree := "../../"
	if r.Method == http.MethodDelete {
		tree = "../"
	}
	h.actThen("remove", func(ctx context.Context, name string) error {
		b, ok := h.backend.(RemoveBackend)
		if !ok {
			return &Error{Unavailable, "sessions cannot be removed here"}
		}
		return b.Remove(ctx, name, force)
	}, func(string) string { return tree })(w, r)
}

// yes is a parameter of the address that is true or false; without it, it is false.
func yes(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	set, err := strconv.ParseBool(text)
	if err != nil {
		return false, &Error{BadRequest, fmt.Sprintf("%s=%q: expected true or false", name, cut(text, 40))}
	}
	return set, nil
}

// actThen is act with the page that a form is led to.
func (h *handler) actThen(action string, do func(ctx context.Context, name string) error, page func(name string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// Only when the body has been read does net/http notice that a client goes away.
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxIdleBody)); err != nil {
			refuse(w, &Error{BadRequest, fmt.Sprintf("this takes no body: %v", err)})
			return
		}
		patient(w)
		name := r.PathValue("name")
		if strings.ContainsFunc(name, unicode.IsControl) { // it would be told to the backend, and written into the record
			refuse(w, &Error{NotFound, fmt.Sprintf("no session %q", cut(name, 200))})
			return
		}
		if err := h.recorded(r, action, name, func() error { return do(r.Context(), name) }); err != nil {
			refuse(w, err)
			return
		}
		done(w, r, page(name))
	}
}

// done answers an action that has nothing to say: a form of the page is led back to one.
func done(w http.ResponseWriter, r *http.Request, page string) {
	if prefers(r, "text/html", "application/json") {
		w.Header().Set("Location", page) // http.Redirect would lose the prefix that the handler is mounted under
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// recorded does something and has it recorded, also when the client has gone away meanwhile, or it has panicked.
func (h *handler) recorded(r *http.Request, action, target string, do func() error) (err error) {
	err = &Error{Internal, "it panicked"}
	defer func() {
		h.backend.Acted(context.WithoutCancel(r.Context()), h.guard.principal(r), action, cut(target, 200), err)
	}()
	return do()
}

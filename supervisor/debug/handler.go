package debug

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Path is where the endpoint's resources are, below wherever its Handler is mounted.
const Path = "/debug/understudy/"

// DefaultMaxBody is how long the body of a request may be, in bytes, if Options name no other limit.
const DefaultMaxBody = 8 << 20

// maxStreams is how many event streams and followed logs there may be at a time.
const maxStreams = 64

// readTimeout bounds what a request that changes nothing may take to find its answer.
const readTimeout = 5 * time.Second

// Options tune a Handler. The zero value serves reads to connections from the machine itself.
type Options struct {
	// Actions allows POST: spawn, query, restart, interrupt, stop.
	Actions bool

	// Token is what a POST must carry as `Authorization: Bearer`, and a read that comes from another
	// machine. If it is empty neither is served, unless Socket is set. It is compared in constant time.
	Token string
	// RequireTokenForReads asks for the token for every path but those of health. A browser asks the user
	// for it: any name will do, the token is the password.
	RequireTokenForReads bool

	// Socket says that whoever can connect is allowed to: requests come over a unix socket, or through a
	// handler of the embedder's that has checked them. Neither token nor host name are looked at.
	Socket bool
	// Stranger, if not nil, is asked of the process at the other end of a unix socket (with NewServer, on Linux) whether to
	// refuse it: an agent's tools run as the same user as the program, and can connect.
	Stranger func(pid int) bool
	// Hosts are names that the endpoint answers to, besides IP addresses and localhost; with a port they
	// are good for that port only. Other names are refused: a web page can make its own name point to
	// 127.0.0.1, and a browser would then let it read everything.
	Hosts []string

	// Authorize, if not nil, decides who may do what, in place of token and address: an embedder's own
	// authentication. It says who asks, for the record of actions, or why they may not; an *Error with the code
	// Unauthorized or Forbidden, or another error, which is Forbidden. Host names and the sites that requests come
	// from are checked before.
	Authorize func(r *http.Request, access Access) (principal string, err error)

	// Principal says who makes a request, for the record of actions. If nil it is the user and process at
	// the other end of a unix socket (with NewServer, on Linux), or "token from" and the address.
	Principal func(*http.Request) string

	// Reload, if not nil, has the program read its configuration again, or with dryRun only say what that would change. Who
	// asked is for the record. An error says that nothing was changed.
	Reload func(ctx context.Context, principal string, dryRun bool) (Reload, error)

	// Metrics, if not nil, is served at /metrics to those who may look at the tree.
	Metrics http.Handler

	// MaxBody is the limit of a request's body in bytes; 0 means DefaultMaxBody.
	MaxBody int64

	// Logger gets one line for each refused request and each panic, at warn and error level. The zero
	// value is silent.
	Logger zerolog.Logger
	// Version is shown in the page.
	Version string
}

// Access is what a request wants.
type Access int

// The kinds of access, in rising order.
const (
	Look Access = iota // the tree, states, names of tools: GET, but for what sessions say
	Read               // what sessions say: frames
	Act                // POST
)

type handler struct {
	backend Backend
	options Options
	guard   *guard
	changes *changes
	load    load
	shared  *shared
	streams chan struct{} // a slot for each
	now     func() time.Time
	beat    time.Duration // between signs of life in an event stream
	mux     *http.ServeMux
	routes  map[string][]string // the methods of each path
}

// Handler serves the endpoint: everything below Path, and /livez, /readyz, /healthz and /metrics. It may be mounted
// under any prefix with http.StripPrefix, since it names itself by relative addresses only. It starts
// nothing that outlives its requests.
//
//	GET  tree                        the document of the tree, a Node
//	GET  sessions?all=true           its sessions, a list of Nodes; with all=true also those whose state is all there is (see KeptBackend)
//	GET  sessions/{name}             one of them; a page for a browser
//	GET  sessions/{name}/stderr      text, or a list of lines if application/json is asked for
//	GET  audit?n=100&follow=true     records as application/x-ndjson
//	GET  audit?after=SEQ&limit=100   a page of them, oldest first, by session, kind, tool, outcome, turn, tool_use, since,
//	                                 until, text; before=SEQ: the newest first. The header Link has the next page
//	GET  audit/{seq}                 one record; a page for a browser
//	GET  sessions/{name}/history     its last processes, turns and tools
//	GET  sessions/{name}/setup       its options and how its processes are held, without secrets
//	GET  sessions/{name}/events      server-sent moments of its life, without what was said
//	GET  sessions/{name}/frames      everything its CLI says, as application/x-ndjson; for those who may act
//	GET  events                      server-sent {"seq":n,"paths":[…]} when something has changed
//	GET  openapi.json                all this for programs
//	GET  ./, budgets                 pages, as audit and sessions/{name} are for a browser
//	GET  approvals                   the questions that wait for somebody; for those who may act
//	GET  approvals/{id}              one of them; a page for a browser
//	POST approvals/{id}              {"decision":"allow","input":{…},"answers":{…}} or {"decision":"deny","message":…}
//	POST sessions                    {"name":…,"options":["key=value",…]}
//	POST sessions/{name}/query       {"prompt":…}, or {"content":[blocks]}; frames as application/x-ndjson
//	POST sessions/{name}/restart     also interrupt, stop
//	DELETE sessions/{name}?force=true  ends and forgets it; POST sessions/{name}/remove, for forms
//	POST reload?dry_run=true         reads the configuration again, a Reload
//
// Errors are application/problem+json with a Code. In a stream that has begun, an error is its last line:
// {"type":"understudy_error","code":…,"message":…}.
func Handler(b Backend, o Options) http.Handler { return newHandler(b, o) }

func newHandler(b Backend, o Options) *handler {
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	h := &handler{
		backend: b, options: o, guard: newGuard(o),
		streams: make(chan struct{}, maxStreams), shared: newShared(), now: time.Now, beat: 15 * time.Second, mux: http.NewServeMux(), routes: make(map[string][]string),
	}
	h.changes = newChanges(h.digest, 500*time.Millisecond)
	h.get("/livez", h.live)
	h.get("/healthz", h.live)
	h.get("/readyz", h.ready)
	if o.Metrics != nil {
		h.get("/metrics", o.Metrics.ServeHTTP)
	}
	h.get("/{$}", redirect("."+Path))
	h.get(strings.TrimSuffix(Path, "/"), redirect(path.Base(Path)+"/"))
	h.get(Path+"{$}", h.shared.serve(h.page))
	for name := range assets {
		h.get(Path+name, serveAsset(name))
	}
	h.get(Path+"tree", h.shared.serve(h.tree))
	h.get(Path+"events", h.events)
	h.get(Path+"audit", h.audit)
	h.get(Path+"audit/{seq}", h.record)
	h.handle(Path+"sessions/{name}", map[string]http.HandlerFunc{http.MethodGet: h.shared.serve(h.session), http.MethodDelete: h.remove})
	h.get(Path+"sessions/{name}/stderr", h.stderr)
	h.get(Path+"sessions/{name}/history", h.history)
	h.get(Path+"sessions/{name}/setup", h.setup)
	h.get(Path+"sessions/{name}/events", h.life)
	h.get(Path+"sessions/{name}/frames", h.frames)
	h.get(Path+"openapi.json", h.openapi)
	h.get(Path+"budgets", h.shared.serve(h.budgets))
	h.get(Path+"approvals", h.approvals)
	h.handle(Path+"approvals/{id}", map[string]http.HandlerFunc{http.MethodGet: h.approval, http.MethodPost: h.answerApproval})
	h.handle(Path+"sessions", map[string]http.HandlerFunc{http.MethodGet: h.shared.serve(h.sessions), http.MethodPost: h.spawn})
	h.post(Path+"reload", h.reload)
	h.post(Path+"sessions/{name}/query", h.query)
	h.post(Path+"sessions/{name}/restart", h.act("restart", b.Restart))
	h.post(Path+"sessions/{name}/interrupt", h.act("interrupt", b.Interrupt))
	h.post(Path+"sessions/{name}/stop", h.act("stop", b.Stop))
	h.post(Path+"sessions/{name}/remove", h.remove)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { refuse(w, nowhere(r)) })
	return h
}

// handle serves a path with one function for each method. HEAD is a GET whose body net/http discards.
func (h *handler) handle(path string, methods map[string]http.HandlerFunc) {
	allowed := slices.Sorted(maps.Keys(methods))
	h.routes[path] = slices.Clone(allowed)
	if methods[http.MethodGet] != nil {
		methods[http.MethodHead] = methods[http.MethodGet]
		allowed = append(allowed, http.MethodHead)
	}
	h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		serve := methods[r.Method]
		if serve == nil {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			refuse(w, &Error{MethodNotAllowed, fmt.Sprintf("%s is not possible here: use %s", cut(r.Method, 40), strings.Join(allowed, " or "))})
			return
		}
		serve(w, r)
	})
}

func (h *handler) get(path string, serve http.HandlerFunc) {
	h.handle(path, map[string]http.HandlerFunc{http.MethodGet: serve})
}

func (h *handler) post(path string, serve http.HandlerFunc) {
	h.handle(path, map[string]http.HandlerFunc{http.MethodPost: serve})
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := &answer{ResponseWriter: w}
	defer h.contain(answer, r)
	harden(w.Header())
	escaped := r.URL.EscapedPath()
	if !plain(escaped) {
		// ServeMux would redirect to what it takes for the right path, which is the wrong one under a prefix.
		refuse(answer, nowhere(r))
		return
	}
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.ContentLength != 0 {
		// A body that is announced and not sent would hold up a stream's end.
		w.Header().Set("Connection", "close")
		refuse(answer, &Error{BadRequest, "to read takes no body"})
		return
	}
	if escaped != "/livez" && escaped != "/readyz" && escaped != "/healthz" {
		if err := h.guard.check(r); err != nil {
			h.options.Logger.Warn().Str("from", r.RemoteAddr).Str("method", cut(r.Method, 40)).
				Str("path", cut(escaped, 200)).Str("code", string(CodeOf(err))).Msg("request refused")
			if CodeOf(err) == Unauthorized {
				challenge(answer, r.Method == http.MethodGet || r.Method == http.MethodHead)
			}
			refuse(answer, err)
			return
		}
	}
	h.mux.ServeHTTP(answer, r)
}

// contain turns a panic, of the backend's most likely, into an error of this one request.
func (h *handler) contain(w *answer, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		h.options.Logger.Error().Str("path", cut(r.URL.EscapedPath(), 200)).Str("panic", fmt.Sprint(v)).
			Bytes("stack", debug.Stack()).Msg("request panicked")
	}
	if w.begun {
		panic(http.ErrAbortHandler) // net/http cuts the connection, so that the answer is not taken for whole
	}
	refuse(w, &Error{Internal, "a bug in the runtime made this request panic; the log has the stack"})
}

// answer knows whether it has begun.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// plain reports whether a path has no empty, "." or ".." elements, whichever way they are spelled.
func plain(escaped string) bool {
	if !strings.HasPrefix(escaped, "/") {
		return false
	}
	elements := strings.Split(escaped[1:], "/")
	for i, element := range elements {
		switch strings.ReplaceAll(strings.ToLower(element), "%2e", ".") {
		case ".", "..":
			return false
		case "":
			if i < len(elements)-1 {
				return false
			}
		}
	}
	return true
}

func nowhere(r *http.Request) error {
	return &Error{NotFound, fmt.Sprintf("there is nothing at %q: the page is at %s", cut(r.URL.EscapedPath(), 200), Path)}
}

// redirect goes to an address relative to the request's. http.Redirect would make it absolute, without
// the prefix that http.StripPrefix has removed.
func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
	}
}

func (h *handler) live(w http.ResponseWriter, _ *http.Request) { writeText(w, "ok\n") }

func (h *handler) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	if err := h.backend.Ready(ctx); err != nil {
		refuse(w, &Error{NotReady, err.Error()})
		return
	}
	writeText(w, "ok\n")
}

func (h *handler) tree(w http.ResponseWriter, r *http.Request) {
	if root, ok := h.look(w, r); ok {
		h.measure(sessionsIn(&root))
		writeJSON(w, http.StatusOK, root)
	}
}

func (h *handler) sessions(w http.ResponseWriter, r *http.Request) {
	all, err := yes(r, "all")
	if err != nil {
		refuse(w, err)
		return
	}
	root, ok := h.look(w, r)
	if !ok {
		return
	}
	h.measure(sessionsIn(&root))
	sessions := root.Sessions()
	if b, ok := h.backend.(KeptBackend); ok && all {
		kept, err := b.Kept(r.Context())
		if err != nil {
			refuse(w, err)
			return
		}
		sessions = append(sessions, kept...)
	}
	if sessions == nil {
		sessions = []Node{}
	}
	writeJSON(w, http.StatusOK, sessions)
}

func (h *handler) session(w http.ResponseWriter, r *http.Request) {
	root, ok := h.look(w, r)
	if !ok {
		return
	}
	name := r.PathValue("name")
	session, ok := root.Session(name)
	if !ok {
		refuse(w, unknown(name))
		return
	}
	h.measure([]*Node{&session})
	w.Header().Set("Vary", "Accept")
	if prefers(r, "text/html", "application/json") {
		h.sessionPage(w, r, session)
		return
	}
	writeJSON(w, http.StatusOK, session)
}

func (h *handler) stderr(w http.ResponseWriter, r *http.Request) {
	lines, err := h.stderrOf(r, r.PathValue("name"))
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Vary", "Accept")
	if prefers(r, "application/json", "text/plain") {
		if lines == nil {
			lines = []string{}
		}
		writeJSON(w, http.StatusOK, lines)
		return
	}
	text := strings.Join(lines, "\n")
	if text != "" {
		text += "\n"
	}
	writeText(w, text)
}

func (h *handler) stderrOf(r *http.Request, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	return h.backend.Stderr(ctx, name)
}

func (h *handler) history(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	past, err := h.backend.History(ctx, r.PathValue("name"))
	if err != nil {
		refuse(w, err)
		return
	}
	writeJSON(w, http.StatusOK, past)
}

func (h *handler) setup(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	setup, err := h.backend.Setup(ctx, r.PathValue("name"))
	if err != nil {
		refuse(w, err)
		return
	}
	writeJSON(w, http.StatusOK, setup)
}

// digest is what the stream of events compares.
func (h *handler) digest(ctx context.Context) (map[string]uint64, error) {
	root, err := h.backend.Tree(ctx)
	if err != nil {
		return nil, err
	}
	return digests(root), nil
}

// look gets the tree, or answers that it cannot be had.
func (h *handler) look(w http.ResponseWriter, r *http.Request) (Node, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	root, err := h.backend.Tree(ctx)
	if err != nil {
		refuse(w, err)
		return Node{}, false
	}
	return root, true
}

func unknown(name string) error {
	return &Error{NoSuchSession, fmt.Sprintf("there is no session %q: `understudy ps` lists those there are", cut(name, 200))}
}

// prefers reports whether the client would rather have media type a than b, which it gets if it does not
// care.
func prefers(r *http.Request, a, b string) bool { return quality(r, a) > quality(r, b) }

// quality is how much the client wants a media type, from 0 to 1.
func quality(r *http.Request, media string) float64 {
	group, _, _ := strings.Cut(media, "/")
	best, exactness := 0.0, 0
	for field := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		accepted, params, err := mime.ParseMediaType(field)
		if err != nil {
			continue
		}
		exact := 0
		switch accepted {
		case media:
			exact = 3
		case group + "/*":
			exact = 2
		case "*/*":
			exact = 1
		}
		if exact <= exactness {
			continue
		}
		best, exactness = 1, exact
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q >= 0 && q <= 1 {
			best = q
		}
	}
	return best
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // an error means that the client is gone
}

func writeJSON(w http.ResponseWriter, status int, document any) {
	body, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		refuse(w, fmt.Errorf("encode the answer: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // an error means that the client is gone
}

package debug

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNoDaemon is what the error of every method of a Client wraps when nobody listens on its socket.
var ErrNoDaemon = errors.New("no daemon")

// noDaemonError says where none was found, and what to do.
type noDaemonError struct {
	socket string
	cause  error
}

func (e *noDaemonError) Error() string {
	return fmt.Sprintf("no understudy daemon listens on %s (%v): start one with `understudy up`, or say where it is with --data-dir or --socket", e.socket, e.cause)
}

func (e *noDaemonError) Unwrap() []error { return []error{ErrNoDaemon, e.cause} }

// maxLine is how long a line of a stream may be in bytes.
const maxLine = 256 << 20

// Client asks a daemon over its unix socket. Its methods may be called from many goroutines. Errors that
// the daemon answers with are an *Error, with the Code that its Backend gave it.
type Client struct {
	socket string
	http   *http.Client
}

// Dial returns a client of the daemon that listens on a unix socket. It does not connect yet.
func Dial(socket string) *Client {
	c := &Client{socket: socket}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
			IdleConnTimeout: 10 * time.Second, MaxIdleConns: 4, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Close drops idle connections. The client may be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	if limit := maxSocketPath(); len(c.socket) > limit {
		return nil, &noDaemonError{c.socket, fmt.Errorf("the path of a socket can be %d bytes long, this one is %d", limit, len(c.socket))}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", c.socket)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, &noDaemonError{c.socket, rootCause(err)}
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("connect to %s: %w: run this as the user who runs the daemon", c.socket, rootCause(err))
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, fmt.Errorf("connect to %s: %w", c.socket, rootCause(err))
	}
}

// Tree describes the whole tree.
func (c *Client) Tree(ctx context.Context) (Node, error) {
	var root Node
	err := c.read(ctx, "tree", &root)
	return root, err
}

// AllSessions describes the sessions in the order of the tree, and behind them those that have left their state and are not there (StateKept).
func (c *Client) AllSessions(ctx context.Context) ([]Node, error) {
	var sessions []Node
	err := c.read(ctx, "sessions?all=true", &sessions)
	return sessions, err
}

// Session describes one session.
func (c *Client) Session(ctx context.Context, name string) (Node, error) {
	var node Node
	address, err := sessionAddress(name, "")
	if err != nil {
		return Node{}, err
	}
	err = c.read(ctx, address, &node)
	return node, err
}

// Stderr gives the last lines of a session's CLI, oldest first.
func (c *Client) Stderr(ctx context.Context, name string) ([]string, error) {
	var lines []string
	address, err := sessionAddress(name, "/stderr")
	if err != nil {
		return nil, err
	}
	err = c.read(ctx, address, &lines)
	return lines, err
}

// Audit gives the last n records, oldest first, each as it is in the log. With follow it goes on with new
// ones until ctx ends, which is the end without an error.
func (c *Client) Audit(ctx context.Context, n int, follow bool) iter.Seq2[json.RawMessage, error] {
	query := url.Values{"n": {strconv.Itoa(n)}, "follow": {strconv.FormatBool(follow)}}
	return func(yield func(json.RawMessage, error) bool) {
		for record, err := range c.lines(ctx, http.MethodGet, "audit?"+query.Encode(), nil) {
			if err != nil && follow && ctx.Err() != nil {
				return
			}
			if !yield(record, err) {
				return
			}
		}
	}
}

// Query sends a prompt and gives the frames of its turn as the CLI wrote them. Whatever goes wrong, before
// or after the first frame, is the last element; an *Error with the code ErrorResult comes after the
// session's error result. To break out of the loop, or to end ctx, interrupts the turn.
func (c *Client) Query(ctx context.Context, name, prompt string) iter.Seq2[json.RawMessage, error] {
	return c.query(ctx, name, map[string]string{"prompt": prompt})
}

// QueryContent is Query with a list of content blocks, which may be text, images and documents.
func (c *Client) QueryContent(ctx context.Context, name string, content json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return c.query(ctx, name, map[string]json.RawMessage{"content": content})
}

func (c *Client) query(ctx context.Context, name string, body any) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		address, err := sessionAddress(name, "/query")
		if err != nil {
			yield(nil, err)
			return
		}
		for frame, err := range c.lines(ctx, http.MethodPost, address, body) {
			if !yield(frame, err) {
				return
			}
		}
	}
}

// Spawn starts a session and returns when it is ready. pairs are options as key=value.
func (c *Client) Spawn(ctx context.Context, name string, pairs []string) error {
	if pairs == nil {
		pairs = []string{}
	}
	return c.do(ctx, "sessions", map[string]any{"name": name, "options": pairs})
}

// Restart stops a session's CLI and starts another one, which goes on with the conversation.
func (c *Client) Restart(ctx context.Context, name string) error {
	return c.act(ctx, name, "/restart")
}

// Interrupt ends the running turn of a session.
func (c *Client) Interrupt(ctx context.Context, name string) error {
	return c.act(ctx, name, "/interrupt")
}

// Stop stops a session. It can be started again with Restart.
func (c *Client) Stop(ctx context.Context, name string) error { return c.act(ctx, name, "/stop") }

// Remove ends a session and forgets it. Without force one that has something to do stays as it is, which is AtWork.
func (c *Client) Remove(ctx context.Context, name string, force bool) error {
	address, err := sessionAddress(name, "")
	if err != nil {
		return err
	}
	if force {
		address += "?force=true"
	}
	response, err := c.send(ctx, http.MethodDelete, address, nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func (c *Client) act(ctx context.Context, name, action string) error {
	address, err := sessionAddress(name, action)
	if err != nil {
		return err
	}
	return c.do(ctx, address, nil)
}

// sessionAddress is relative to Path. Names that cannot be in an address cannot be a session's either.
func sessionAddress(name, below string) (string, error) {
	if name == "" || name == "." || name == ".." {
		return "", unknown(name)
	}
	return "sessions/" + url.PathEscape(name) + below, nil
}

func (c *Client) read(ctx context.Context, address string, into any) error {
	response, err := c.send(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return c.lost(ctx, fmt.Errorf("read the answer: %w", err))
	}
	return nil
}

func (c *Client) do(ctx context.Context, address string, body any) error {
	response, err := c.send(ctx, http.MethodPost, address, body)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// lines reads a stream up to its end, or to the line that says why there is no more.
func (c *Client) lines(ctx context.Context, method, address string, body any) iter.Seq2[json.RawMessage, error] {
	return c.linesOf(ctx, method, address, body, func() {})
}

// linesOf is lines, and calls begun when the answer has begun.
func (c *Client) linesOf(ctx context.Context, method, address string, body any, begun func()) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // closes the connection if the caller has not read everything
		response, err := c.send(ctx, method, address, body)
		if err != nil {
			yield(nil, err)
			return
		}
		defer response.Body.Close()
		begun()
		reader := bufio.NewReaderSize(response.Body, 64<<10)
		for {
			line, err := readLine(reader)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, c.lost(ctx, err))
				return
			}
			if err := asError(line); err != nil {
				yield(nil, err)
				return
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

// readLine gives a line without its end, in memory of its own. A last line without an end is torn.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case len(line) > maxLine:
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// asError is the error that a line of a stream says, or nil.
func asError(line []byte) error {
	if !bytes.Contains(line, []byte(TypeError)) {
		return nil
	}
	var e errorLine
	if json.Unmarshal(line, &e) != nil || e.Type != TypeError {
		return nil
	}
	return &Error{Code: e.Code, Message: e.Message}
}

// send asks for something and gives an answer that is no error. header are names and values. The caller closes its
// body.
func (c *Client) send(ctx context.Context, method, address string, body any, header ...string) (*http.Response, error) {
	var reader io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+Path+address, reader)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	for i := 1; i < len(header); i += 2 {
		if header[i] != "" {
			request.Header.Set(header[i-1], header[i])
		}
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, answered(response)
}

// lost says what became of a request whose answer did not come, or not whole.
func (c *Client) lost(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // its own text names an address that nobody asked for
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return &Error{Unavailable, fmt.Sprintf("the daemon on %s went away before it had answered in full: has it been stopped?", c.socket)}
	}
	return err
}

// answered makes an error of an answer that says so.
func answered(response *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	var p problem
	if err == nil && json.Unmarshal(text, &p) == nil && p.Code != "" {
		return &Error{Code: p.Code, Message: p.Detail}
	}
	return &Error{Internal, fmt.Sprintf("what listens there is no understudy daemon, or not one of this version: it answered %s: %s", response.Status, cut(strings.TrimSpace(string(text)), 200))}
}

package debug

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"
)

// History gives the recent past of a session.
func (c *Client) History(ctx context.Context, name string) (History, error) {
	var past History
	address, err := sessionAddress(name, "/history")
	if err != nil {
		return History{}, err
	}
	err = c.read(ctx, address, &past)
	return past, err
}

// Setup gives a session's options as they are in force.
func (c *Client) Setup(ctx context.Context, name string) (Setup, error) {
	var setup Setup
	address, err := sessionAddress(name, "/setup")
	if err != nil {
		return Setup{}, err
	}
	err = c.read(ctx, address, &setup)
	return setup, err
}

// LifeEvent is a moment of a session's life, as it is in a stream of events.
type LifeEvent struct {
	Session    string    `json:"session"`
	Seq        uint64    `json:"seq"`
	At         time.Time `json:"at"`
	Type       string    `json:"type"`
	Generation int       `json:"generation"`
	Turn       int       `json:"turn"`
	Tool       string    `json:"tool"`
	Argument   string    `json:"argument"`
	Outcome    string    `json:"outcome"`
	Detail     string    `json:"detail"`
	Seconds    float64   `json:"duration_seconds"`
	PID        int       `json:"pid"`
	CostUSD    float64   `json:"cost_usd"`
	Own        bool      `json:"own"`

	Raw json.RawMessage `json:"-"` // all of it
}

// Life gives the moments of a session's life: those of late, then each as it comes, until ctx ends, which is the end
// without an error. A connection that was lost, or a reader that was too slow, goes on where it was.
func (c *Client) Life(ctx context.Context, name string) iter.Seq2[LifeEvent, error] {
	return func(yield func(LifeEvent, error) bool) {
		address, err := sessionAddress(name, "/events")
		if err != nil {
			yield(LifeEvent{}, err)
			return
		}
		lastID := ""
		for {
			again := false
			for event, err := range c.serverSent(ctx, address, lastID) {
				switch {
				case ctx.Err() != nil:
					return
				case errors.Is(err, io.EOF): // it has been too slow, or the endpoint was restarted
					again = true
				case err != nil:
					yield(LifeEvent{}, err)
					return
				default:
					lastID = event.id
					e := LifeEvent{Raw: event.data}
					err := json.Unmarshal(event.data, &e)
					if !yield(e, err) || err != nil {
						return
					}
				}
			}
			if !again {
				return
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
	}
}

type serverEvent struct {
	id   string
	data []byte
}

// serverSent reads a stream of events. One that was cut off, or that the server has ended, ends with io.EOF.
func (c *Client) serverSent(ctx context.Context, address, lastID string) iter.Seq2[serverEvent, error] {
	return func(yield func(serverEvent, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		response, err := c.send(ctx, http.MethodGet, address, nil, "Last-Event-ID", lastID)
		if err != nil {
			yield(serverEvent{}, err)
			return
		}
		defer response.Body.Close()
		reader := bufio.NewReaderSize(response.Body, 16<<10)
		var e serverEvent
		failed := false
		for {
			line, err := readLine(reader)
			if err != nil {
				yield(serverEvent{}, io.EOF)
				return
			}
			field, value, _ := bytes.Cut(line, []byte(": "))
			switch string(field) {
			case "id":
				e.id = string(value)
			case "event":
				failed = string(value) == "error"
			case "data":
				e.data = value
			case "":
				if len(e.data) > 0 && !failed && !yield(e, nil) {
					return
				}
				e.data, failed = nil, false
			}
		}
	}
}

// Frames gives everything that a session's CLI says from now on, until ctx ends, which is the end without an error.
// begun is called when nothing will be missed any more.
func (c *Client) Frames(ctx context.Context, name string, begun func()) iter.Seq2[Watched, error] {
	return func(yield func(Watched, error) bool) {
		address, err := sessionAddress(name, "/frames")
		if err != nil {
			yield(Watched{}, err)
			return
		}
		for line, err := range c.linesOf(ctx, http.MethodGet, address, nil, begun) {
			if ctx.Err() != nil {
				return
			}
			var w Watched
			if err == nil {
				err = json.Unmarshal(line, &w)
			}
			if !yield(w, err) || err != nil {
				return
			}
		}
	}
}

// Watched is a frame of a session's CLI and where it belongs.
type Watched struct {
	Generation int             `json:"generation"`
	Turn       int             `json:"turn"`
	Own        bool            `json:"own"` // the CLI began the turn by itself
	Frame      json.RawMessage `json:"frame"`
}

package remote

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/understudy-run/understudy/audit"
)

// defaultTimeout bounds one request.
const defaultTimeout = 30 * time.Second

// HTTP says how requests are made. The zero value will do.
type HTTP struct {
	// Header are further headers, such as Authorization.
	Header http.Header
	// Timeout bounds a request with its answer; 0 means 30 s.
	Timeout time.Duration
	// Client is nil for one that follows no redirects: what is sent is for whom it was sent to.
	Client *http.Client
}

// post sends a body and takes any 2xx for an answer that it is safe.
func (h HTTP) post(ctx context.Context, address, contentType string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(h.Timeout, defaultTimeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil { // it would have the address in it
		return fmt.Errorf("POST %s: it cannot be posted to", shown(address))
	}
	maps.Copy(request.Header, h.Header)
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "understudy-audit")
	client := h.Client
	if client == nil {
		client = plain
	}
	response, err := client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err
		}
		return fmt.Errorf("POST %s: %w", shown(address), err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	said, _ := io.ReadAll(io.LimitReader(response.Body, 512))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s: %s: %.200q", shown(address), response.Status, said)
	}
	return nil
}

var plain = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// SinkOptions say where a sink sends records.
type SinkOptions struct {
	// Name tells sinks apart, also after a restart: letters, digits, - and _.
	Name string
	// URL is what is posted to. An answer of 2xx says that the batch is safe there; whatever else makes it come again.
	URL string
	// Encoding is JSONL if empty.
	Encoding audit.Encoding
	// Source names the log in encodings that have a place for it; empty means understudy.
	Source string
	// Batch is how many records come at once at most; 0 means 256.
	Batch int
	HTTP
}

// Sink posts batches of records: as application/x-ndjson, or as the encoding wants it. Each record comes at least once: its
// id tells whether it has come before, which is id in JSONL and CloudEvents, metadata.uid in OCSF, and the attribute event.id in OTLP.
func Sink(o SinkOptions) audit.Sink {
	return audit.Sink{Name: o.Name, Batch: o.Batch, Deliver: func(ctx context.Context, records []audit.Record) error {
		contentType, body, err := cmp.Or(o.Encoding, audit.JSONL).EncodeBatch(records, cmp.Or(o.Source, "understudy"))
		if err != nil {
			return err
		}
		return o.post(ctx, o.URL, contentType, body)
	}}
}

// shown is an address as messages have it: without what may be a secret in it.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// HTTPAnchor posts each checkpoint, as text/plain. An answer of 2xx says that it is kept.
func HTTPAnchor(address string, h HTTP) audit.Anchor {
	return audit.Anchor{Name: shown(address), Publish: func(ctx context.Context, checkpoint []byte) error {
		return h.post(ctx, address, "text/plain; charset=utf-8", checkpoint)
	}}
}

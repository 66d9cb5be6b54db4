package session

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/keyproxy"
	"github.com/understudy-run/understudy/session/process"
)

// APIProxy tunes a session's proxy to the Messages API.
type APIProxy struct {
	// Upstream is where the API is. Empty: ANTHROPIC_BASE_URL of Env, or https://api.anthropic.com.
	Upstream string `json:"upstream,omitzero"`
	keyproxy.Limits
}

// problems is what is wrong with it, below api_proxy.
func (a APIProxy) problems() []Problem {
	var out []Problem
	if a.Upstream != "" {
		if _, err := keyproxy.CheckUpstream(a.Upstream); err != nil {
			out = append(out, Problem{Path: "api_proxy.upstream", Message: err.Error()})
		}
	}
	for path, message := range a.Limits.Problems() {
		out = append(out, Problem{Path: "api_proxy." + path, Message: message})
	}
	return out
}

// provide gives a launch what is its own for as long as its process lives: a HOME, and a way to the API. release takes it back;
// the process must have ended, or not have started.
//
// owner is whose process it is: s, until a session takes one that waits.
func (s *Session) provide(ctx context.Context, o Options, l *process.Launch, owner *atomic.Pointer[Session]) (release func(), err error) {
	leave, err := s.isolate(o, l)
	if err != nil {
		return leave, err
	}
	revoke, err := s.access(ctx, o, l, owner)
	if err != nil {
		revoke()
		leave()
		return func() {}, err
	}
	return func() {
		revoke()
		leave()
	}, nil
}

// access gives a launch its way to the API. release ends it; it may be called more than once, and the process must have
// ended, or not have started.
func (s *Session) access(ctx context.Context, o Options, l *process.Launch, owner *atomic.Pointer[Session]) (release func(), err error) {
	release = func() {}
	key, err := o.key(ctx, s.name)
	if err != nil {
		return release, err
	}
	if key != "" && s.spec.Audit != nil {
		s.spec.Audit.Redact(key.Reveal()) // before anything is started that could say it
	}
	l.APIKey = key.Reveal()
	switch o.APIKeyDelivery {
	case DeliverFD:
		l.APIKeyFD = l.APIKey != ""
	case DeliverProxy:
		if key == "" {
			return release, &process.StartError{Class: process.ClassRequest, Path: "API key", Err: fmt.Errorf("api_key_delivery proxy: there is no key"),
				Hint: "set api_key, api_key_file or api_key_credential"}
		}
		proxy, err := s.proxy(o, l.APIKey, owner)
		if err != nil {
			return release, &process.StartError{Class: process.ClassResources, Path: "API key", Err: err}
		}
		l.APIKey, l.APIProxy = proxy.Token(), proxy.URL()
		return proxy.Close, nil
	}
	return release, nil
}

// proxy opens the way to the API for one process. What goes through it is counted for whoever owns the process by then.
func (s *Session) proxy(o Options, key string, owner *atomic.Pointer[Session]) (*keyproxy.Proxy, error) {
	before, _ := s.desk.snapshot()
	upstream := o.APIProxy.Upstream
	if upstream == "" {
		upstream = o.Env["ANTHROPIC_BASE_URL"]
	}
	return keyproxy.Start(keyproxy.Options{Key: key, Upstream: upstream, Limits: o.APIProxy.Limits, SpentUSD: before.ProxyUSD, OnRequest: func(r keyproxy.Request) {
		s := owner.Load()
		var kept record
		s.desk.update(func(now *record, _ *Info) {
			now.ProxyUSD += r.CostUSD
			kept = *now
		})
		if s.spec.Audit == nil {
			return
		}
		detail := map[string]any{
			"path": r.Path, "model": r.Model, "status": r.Status, "took_ms": r.Took.Milliseconds(), "stream": r.Stream,
			"input_tokens": r.Input, "output_tokens": r.Output, "cache_read_tokens": r.CacheRead, "cache_write_tokens": r.CacheWrite,
			"cost_usd": r.CostUSD, "spent_usd": kept.ProxyUSD,
		}
		if r.Refused != "" {
			detail["refused"] = r.Refused
		}
		if r.RequestID != "" {
			detail["request_id"] = r.RequestID
		}
		s.spec.Audit.Post(audit.Record{
			Kind: audit.APIRequest, Actor: s.spec.Path, Session: s.name, SessionID: kept.SessionID, Generation: kept.Generation, Detail: detail,
		})
	}})
}

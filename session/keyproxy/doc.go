// Package keyproxy forwards one session's requests to the Messages API, and holds the API key that the session must not have.
//
//	p, err := keyproxy.Start(keyproxy.Options{Key: key, Limits: keyproxy.Limits{Models: []string{"claude-haiku-*"}}})
//	if err != nil { … }
//	defer p.Close()
//	// The session gets p.URL() as its base URL and p.Token() as its key.
//
// What passes: POST to /v1/messages and /v1/messages/count_tokens with the token, for a model that is allowed, as long as
// the limits are kept. Headers are passed on by an allowlist; those that could carry a credential are not. Everything else
// is answered here and reaches nobody. Streams pass event by event.
//
// # Metering
//
// Tokens are counted from what the API says it has used, also within streams, and money from tokens and prices. That does not
// depend on what the CLI says, or on whether it is still the CLI that asks. A request that is cut off is counted for what was
// seen of it, at least one token for four bytes of answer.
//
// The budget is looked at before a request: those that run at the same time may go beyond it together. So may a request whose
// answer is longer than what was left.
//
// # Concurrency
//
// A Proxy may be used by several goroutines. Options.OnRequest is called by the goroutine of each request, at its end.
package keyproxy

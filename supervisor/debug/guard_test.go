package debug

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGuard(t *testing.T) {
	type change = func(*http.Request)
	const secret = "s3cret-token"
	basic := func(password string) change {
		return func(r *http.Request) { r.SetBasicAuth("anybody", password) }
	}
	plain, acting := Options{}, Options{Actions: true, Token: secret}
	closed, named := Options{Actions: true, Token: secret, RequireTokenForReads: true}, Options{Hosts: []string{"Build.Example", "box.example:7070"}}
	socket := Options{Socket: true, Actions: true}
	for name, c := range map[string]struct {
		options Options
		method  string
		changes []change
		want    Code // "" if it is served
	}{
		"read from here":                     {plain, "GET", nil, ""},
		"read from here over IPv6":           {plain, "GET", []change{host("[::1]:7070"), from("[::1]:999")}, ""},
		"read from here, mapped":             {plain, "GET", []change{from("[::ffff:127.0.0.1]:999")}, ""},
		"read as localhost":                  {plain, "GET", []change{host("LocalHost:7070")}, ""},
		"read as localhost, no port":         {plain, "GET", []change{host("localhost.")}, ""},
		"read by another address":            {plain, "GET", []change{host("192.0.2.7:7070")}, ""},
		"HEAD":                               {plain, "HEAD", nil, ""},
		"read from elsewhere":                {plain, "GET", []change{from("192.0.2.7:999")}, Forbidden},
		"read from nowhere":                  {plain, "GET", []change{from("@")}, Forbidden},
		"read from elsewhere without token":  {acting, "GET", []change{from("192.0.2.7:999")}, Unauthorized},
		"read from elsewhere with token":     {acting, "GET", []change{from("192.0.2.7:999"), token(secret)}, ""},
		"read from elsewhere with password":  {acting, "GET", []change{from("192.0.2.7:999"), basic(secret)}, ""},
		"read where a token is asked for":    {closed, "GET", nil, Unauthorized},
		"read there with token":              {closed, "GET", []change{token(secret)}, ""},
		"read there with a wrong password":   {closed, "GET", []change{basic("x")}, Unauthorized},
		"read where no token is configured":  {Options{RequireTokenForReads: true}, "GET", []change{token("")}, Forbidden},
		"rebound name":                       {plain, "GET", []change{host("evil.example:7070")}, Misdirected},
		"rebound name with token":            {acting, "POST", []change{host("evil.example"), token(secret)}, Misdirected},
		"name that begins well":              {plain, "GET", []change{host("localhost.evil.example")}, Misdirected},
		"name that looks like an address":    {plain, "GET", []change{host("127.0.0.1.evil.example")}, Misdirected},
		"name with a user":                   {plain, "GET", []change{host("localhost@evil.example")}, Misdirected},
		"no name":                            {plain, "GET", []change{host("")}, Misdirected},
		"brackets around a name":             {plain, "GET", []change{host("[evil.example]:80")}, Misdirected},
		"configured name":                    {named, "GET", []change{host("build.example:8443")}, ""},
		"configured name with port":          {named, "GET", []change{host("box.example:7070")}, ""},
		"configured name with another port":  {named, "GET", []change{host("box.example:7071")}, Misdirected},
		"act, switched off":                  {plain, "POST", nil, Forbidden},
		"act, switched off, with token":      {Options{Token: secret}, "POST", []change{token(secret)}, Forbidden},
		"act, no token configured":           {Options{Actions: true}, "POST", []change{token("")}, Forbidden},
		"act without token":                  {acting, "POST", nil, Unauthorized},
		"act with token":                     {acting, "POST", []change{token(secret)}, ""},
		"act with token, scheme in capitals": {acting, "POST", []change{header("Authorization", "BEARER "+secret)}, ""},
		"act with password":                  {acting, "POST", []change{basic(secret)}, Unauthorized},
		"act with no token at all":           {acting, "POST", []change{token("")}, Unauthorized},
		"act with the start of the token":    {acting, "POST", []change{token(secret[:5])}, Unauthorized},
		"act with more than the token":       {acting, "POST", []change{token(secret + "x")}, Unauthorized},
		"act with the token in capitals":     {acting, "POST", []change{token("S3CRET-TOKEN")}, Unauthorized},
		"act with the token in the address":  {acting, "POST", []change{func(r *http.Request) { r.URL.RawQuery = "token=" + secret }}, Unauthorized},
		"act with another scheme":            {acting, "POST", []change{header("Authorization", "Token "+secret)}, Unauthorized},
		"act for another site":               {acting, "POST", []change{token(secret), header("Sec-Fetch-Site", "cross-site")}, CrossOrigin},
		"act for a sandboxed page":           {acting, "POST", []change{token(secret), header("Origin", "null")}, CrossOrigin},
		"act for another site, old browser":  {acting, "POST", []change{token(secret), header("Origin", "https://evil.example")}, CrossOrigin},
		"act for the site itself":            {acting, "POST", []change{token(secret), header("Sec-Fetch-Site", "same-origin")}, ""},
		"read into another site's page":      {plain, "GET", []change{header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "no-cors")}, CrossOrigin},
		"read into a frame":                  {plain, "GET", []change{header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "iframe")}, CrossOrigin},
		"follow a link":                      {plain, "GET", []change{header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "document")}, ""},
		"socket: any name, act":              {socket, "POST", []change{host("whatever"), from("@")}, ""},
		"socket: read":                       {socket, "GET", []change{from("")}, ""},
		"socket: read where asked for":       {Options{Socket: true, RequireTokenForReads: true}, "GET", nil, ""},
		"socket: another site":               {socket, "POST", []change{header("Sec-Fetch-Site", "cross-site")}, CrossOrigin},
		"socket: switched off":               {Options{Socket: true}, "POST", nil, Forbidden},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			target := Path + "tree"
			if c.method == "POST" {
				target = Path + "sessions/reviewer/restart"
			}
			w := ask(fixed(f, c.options), c.method, target, "", c.changes...)
			if c.want == "" {
				assert.Less(t, w.Code, 300, w.Body.String())
				return
			}
			refused(t, w, c.want, "")
			assert.Empty(t, f.called(), "nothing was done")
			assert.NotContains(t, w.Body.String(), secret)
			assert.Equal(t, c.want == Unauthorized, w.Header().Get("WWW-Authenticate") != "")
			assert.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
		})
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	refused(t, ask(fixed(newFake(), Options{}), "POST", Path+"sessions/a/stop", ""), Forbidden, "understudy command")
	refused(t, ask(fixed(newFake(), Options{Actions: true}), "POST", Path+"sessions/a/stop", ""), Forbidden, "configure one")
	refused(t, ask(fixed(newFake(), Options{Actions: true, Token: "t"}), "POST", Path+"sessions/a/stop", ""), Unauthorized, "Authorization: Bearer TOKEN")
	refused(t, ask(fixed(newFake(), Options{}), "GET", Path, "", host("evil.example")), Misdirected, "Options.Hosts")
	w := ask(fixed(newFake(), Options{Token: "t", RequireTokenForReads: true}), "GET", Path, "")
	assert.Len(t, w.Header().Values("WWW-Authenticate"), 2, "a browser asks for a password")
}

// TestHealthAsksForNothing: probes come from anywhere and have no token.
func TestHealthAsksForNothing(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{Token: "t", RequireTokenForReads: true})
	for _, path := range []string{"/livez", "/healthz", "/readyz"} {
		w := ask(h, "GET", path, "", host("pod.example"), from("192.0.2.1:1"))
		assert.Equal(t, http.StatusOK, w.Code, path)
		assert.Equal(t, "ok\n", w.Body.String())
	}
	f.ready = &Error{Unavailable, "the audit log cannot be written"}
	refused(t, ask(h, "GET", "/readyz", ""), NotReady, "the audit log cannot be written")
	assert.Equal(t, http.StatusOK, ask(h, "GET", "/livez", "").Code, "restarting the process would not help")
	refused(t, ask(h, "POST", "/livez", ""), MethodNotAllowed, "GET")
}

func TestEveryAnswerTellsBrowsersToBeCareful(t *testing.T) {
	h := fixed(newFake(), Options{})
	for _, target := range []string{Path, Path + "tree", Path + "script.js", Path + "nothing", "/livez"} {
		got := ask(h, "GET", target, "").Header()
		assert.Contains(t, got.Get("Content-Security-Policy"), "default-src 'none'")
		assert.NotContains(t, got.Get("Content-Security-Policy"), "unsafe")
		assert.Equal(t, "nosniff", got.Get("X-Content-Type-Options"))
		assert.Equal(t, "no-store", got.Get("Cache-Control"))
		assert.Equal(t, "same-origin", got.Get("Cross-Origin-Resource-Policy"))
	}
}

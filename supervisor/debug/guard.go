package debug

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// guard decides who may ask. What it refuses has changed nothing.
type guard struct {
	options Options
	hosts   map[string]bool
	token   [sha256.Size]byte
	origins *http.CrossOriginProtection
}

func newGuard(o Options) *guard {
	g := &guard{options: o, hosts: map[string]bool{"localhost": true}, token: sha256.Sum256([]byte(o.Token)), origins: http.NewCrossOriginProtection()}
	for _, host := range o.Hosts {
		g.hosts[strings.ToLower(strings.TrimSuffix(host, "."))] = true
	}
	return g
}

// check says why a request is refused, and nil if it is not.
func (g *guard) check(r *http.Request) error {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !g.options.Socket && !g.knownHost(r.Host) {
		return &Error{Misdirected, fmt.Sprintf("the endpoint does not answer to the host name %q: use an IP address or localhost, or list the name in Options.Hosts (a web page could make its own name point here)", cut(r.Host, 200))}
	}
	if g.stranger(r) {
		return &Error{Forbidden, "this endpoint is for the user that runs it, and not for what its sessions have started"}
	}
	if err := g.origins.Check(r); err != nil {
		return &Error{CrossOrigin, "a page of another site asked for this, which is not allowed: use the command line, or curl"}
	}
	if read && embeds(r) {
		return &Error{CrossOrigin, "a page of another site reads this, which is not allowed: open it in a tab of its own"}
	}
	if g.options.Authorize != nil && (read || g.options.Actions) {
		access := Look
		if !read {
			access = Act
		}
		_, err := g.ask(r, access)
		return err
	}
	switch {
	case !read && !g.options.Actions:
		return &Error{Forbidden, "actions are switched off here, this endpoint is read-only: use the understudy command on the machine itself, which talks to the daemon's socket"}
	case g.options.Socket:
		return nil
	case read && !g.options.RequireTokenForReads && loopback(r.RemoteAddr):
		return nil
	case g.options.Token == "" && read:
		return &Error{Forbidden, "without a token only connections from this machine may read: configure a token for the endpoint"}
	case g.options.Token == "":
		return &Error{Forbidden, "without a token this endpoint is read-only: configure one, and send it as Authorization: Bearer TOKEN; or use the understudy command on the machine itself, which talks to the daemon's socket"}
	case !g.knows(r, read):
		return &Error{Unauthorized, "this needs the endpoint's token: send it as Authorization: Bearer TOKEN"}
	}
	return nil
}

// reads says why a request may not have what sessions say, which takes more than to look.
func (g *guard) reads(r *http.Request) error {
	switch {
	case g.options.Authorize != nil:
		_, err := g.ask(r, Read)
		return err
	case g.options.Socket, g.options.Token != "" && g.knows(r, true):
		return nil
	case g.options.Token == "":
		return &Error{Forbidden, "what sessions say is not shown here without a token: configure one, or use the daemon's socket"}
	}
	return &Error{Unauthorized, "what sessions say needs the endpoint's token: send it as Authorization: Bearer TOKEN"}
}

// ask has the embedder decide.
func (g *guard) ask(r *http.Request, access Access) (string, error) {
	who, err := g.options.Authorize(r, access)
	if _, ours := errors.AsType[*Error](err); err != nil && !ours {
		err = &Error{Forbidden, err.Error()}
	}
	return who, err
}

// peer is who is at the other end of a unix socket.
type peer struct {
	name     string
	uid, pid int
}

// stranger reports whether the other end of a socket is somebody who must not use it, although it could connect.
func (g *guard) stranger(r *http.Request) bool {
	peer, ok := r.Context().Value(peerKey{}).(peer)
	if !ok || !g.options.Socket {
		return false
	}
	return peer.uid != os.Geteuid() && peer.uid != 0 || g.options.Stranger != nil && g.options.Stranger(peer.pid)
}

// knownHost tells the names that the endpoint has from those that a DNS server made to point to it. An
// address cannot be made to point elsewhere.
func (g *guard) knownHost(hostport string) bool {
	hostport = strings.ToLower(hostport)
	host := hostport
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return g.hosts[host] || g.hosts[hostport]
}

// embeds reports whether a browser says that a page of another site fetches this, rather than that
// somebody follows a link to it.
func embeds(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	}
	return false
}

// knows reports whether the request carries the token. To read, it may be the password of basic
// authentication, which browsers ask for; browsers send that by themselves ever after, so it is not good
// enough to act.
func (g *guard) knows(r *http.Request, read bool) bool {
	header := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		var basic bool
		_, token, basic = r.BasicAuth()
		if !basic || !read {
			return false
		}
	}
	// Of equal length whatever was sent, so that the time taken says nothing.
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// challenge tells a browser to ask for the token.
func challenge(w http.ResponseWriter, read bool) {
	w.Header().Add("WWW-Authenticate", `Bearer realm="understudy"`)
	if read {
		w.Header().Add("WWW-Authenticate", `Basic realm="understudy: any user, the token as password", charset="UTF-8"`)
	}
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// principal says who asks, for the record.
func (g *guard) principal(r *http.Request) string {
	if g.options.Principal != nil {
		return g.options.Principal(r)
	}
	if g.options.Authorize != nil {
		if who, err := g.ask(r, Act); err == nil && who != "" {
			return who
		}
	}
	if peer, ok := r.Context().Value(peerKey{}).(peer); ok {
		return peer.name
	}
	if g.options.Socket {
		return "socket"
	}
	return "token from " + r.RemoteAddr
}

// harden sets what browsers need to be told about every answer.
func harden(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

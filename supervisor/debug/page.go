package debug

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// assets are the files of the page and their types.
var assets = map[string]string{
	"style.css": "text/css; charset=utf-8",
	"script.js": "text/javascript; charset=utf-8",
	"icon.svg":  "image/svg+xml",
}

var pages = template.Must(template.New("").ParseFS(web, "web/*.html"))

func serveAsset(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		body, err := web.ReadFile("web/" + name)
		if err != nil {
			refuse(w, fmt.Errorf("read %s: %w", name, err))
			return
		}
		w.Header().Set("Content-Type", assets[name])
		_, _ = w.Write(body) // an error means that the client is gone
	}
}

// frame is what every page has around what it shows.
type frame struct {
	Title   string
	Here    string // which page it is
	Base    string // from the page to Path: relative, so that any prefix will do
	Version string
	At      time.Time
	Actions bool // the page may have buttons that do something
}

func (h *handler) frame(title, here, base string) frame {
	return frame{Title: title + " · Understudy", Here: here, Base: base, Version: h.options.Version, At: h.now().UTC(), Actions: h.options.Actions}
}

// render sends the page, or with ?part=main what changes in it. The whole is made before anything is sent.
func (h *handler) render(w http.ResponseWriter, r *http.Request, name string, view any) {
	h.renderAs(w, r, http.StatusOK, name, view)
}

// renderAs is render with another status.
func (h *handler) renderAs(w http.ResponseWriter, r *http.Request, status int, name string, view any) {
	switch part := r.URL.Query().Get("part"); part {
	case "":
	case "main":
		name += "-main"
	default:
		refuse(w, &Error{BadRequest, fmt.Sprintf("part=%s: expected main or nothing", cut(part, 40))})
		return
	}
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, view); err != nil {
		refuse(w, fmt.Errorf("make the page: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // an error means that the client is gone
}

// moment is a time in a page: how long ago it was, or is to come, which a script keeps counting.
type moment struct {
	Text   string // 3m04s
	Stamp  string // 2026-11-26 03:00:00 UTC
	Millis int64  // since 1970
}

func since(t, now time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	return &moment{age(now.Sub(t)), stamp(t), t.UnixMilli()}
}

func until(t *time.Time, now time.Time) *moment {
	if t == nil {
		return nil
	}
	return &moment{age(roundUp(t.Sub(now))), stamp(*t), t.UnixMilli()}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strings.Replace(t.UTC().Format("2006-01-02 15:04:05Z07:00"), "Z", " UTC", 1)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%s %ss", grouped(int64(n)), noun)
}

package debug

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"
)

// The codes of errors that the endpoint itself makes, beside those of a Backend.
const (
	NotFound         Code = "not_found"              // 404: there is no such path
	MethodNotAllowed Code = "method_not_allowed"     // 405: the Allow field says which ones are
	Unauthorized     Code = "unauthorized"           // 401: a token is needed, and was not there or is not the right one
	Forbidden        Code = "forbidden"              // 403: switched off
	CrossOrigin      Code = "cross_origin"           // 403: a page of another site asked
	Misdirected      Code = "misdirected_request"    // 421: a host name that the endpoint does not answer to
	TooLarge         Code = "too_large"              // 413
	UnsupportedMedia Code = "unsupported_media_type" // 415: a body that is not application/json
	NotImplemented   Code = "not_implemented"        // 501: the server around the handler cannot stream
	NotReady         Code = "not_ready"              // 503: /readyz
)

var statuses = map[Code]int{
	NoSuchSession:    http.StatusNotFound,
	NoSuchApproval:   http.StatusNotFound,
	NoSuchRecord:     http.StatusNotFound,
	BadRequest:       http.StatusBadRequest,
	Conflict:         http.StatusConflict,
	AtWork:           http.StatusConflict,
	Busy:             http.StatusTooManyRequests,
	Unavailable:      http.StatusServiceUnavailable,
	Crashed:          http.StatusBadGateway,
	ErrorResult:      http.StatusBadGateway,
	Internal:         http.StatusInternalServerError,
	NotFound:         http.StatusNotFound,
	MethodNotAllowed: http.StatusMethodNotAllowed,
	Unauthorized:     http.StatusUnauthorized,
	Forbidden:        http.StatusForbidden,
	CrossOrigin:      http.StatusForbidden,
	Misdirected:      http.StatusMisdirectedRequest,
	TooLarge:         http.StatusRequestEntityTooLarge,
	UnsupportedMedia: http.StatusUnsupportedMediaType,
	NotImplemented:   http.StatusNotImplemented,
	NotReady:         http.StatusServiceUnavailable,
}

// Status is the HTTP status of answers with that code; 500 for one that is not known.
func (c Code) Status() int {
	if status, ok := statuses[c]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// problem is the body of an error, as RFC 9457 describes it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   Code   `json:"code"`
}

// maxDetail bounds what an error's text may take, in bytes. Foreign text ends up in it.
const maxDetail = 4096

// refuse answers with an error.
func refuse(w http.ResponseWriter, err error) {
	code := CodeOf(err)
	header := w.Header()
	header.Del("Content-Length")
	header.Set("Content-Type", "application/problem+json")
	w.WriteHeader(code.Status())
	// An error means that the client is gone; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(problem{
		Type: "about:blank", Title: http.StatusText(code.Status()), Status: code.Status(),
		Detail: cut(err.Error(), maxDetail), Code: code,
	})
}

// cut shortens text to at most limit bytes, at the end of a character, and makes it valid UTF-8.
func cut(text string, limit int) string {
	if len(text) > limit {
		end := limit - len("…")
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

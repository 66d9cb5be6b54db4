package debug

import (
	_ "embed"
	"net/http"
)

// openapiDocument describes every path of the endpoint. A test holds it against the handler.
//
//go:embed openapi.json
var openapiDocument []byte

func (h *handler) openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openapiDocument) // an error means that the client is gone
}

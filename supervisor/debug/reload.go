package debug

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Reload is what a reload of the configuration has changed, or would change.
type Reload struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	DryRun bool   `json:"dry_run"`
	// Changes are of sessions, those of pools aside, and of settings that can change while the program runs; Unchanged is how many of
	// these sessions are not touched.
	Changes   []Change `json:"changes"`
	Unchanged int      `json:"unchanged"`
	// Live are other settings that have changed and hold from now on, NeedsRestart those that hold after a restart of the
	// program, by their names in the file.
	Live         []string `json:"live"`
	NeedsRestart []string `json:"needs_restart"`
}

// Failed are the changes that did not happen.
func (r Reload) Failed() []Change {
	var failed []Change
	for _, c := range r.Changes {
		if c.Error != "" {
			failed = append(failed, c)
		}
	}
	return failed
}

// ChangeAction is what is done to a session.
type ChangeAction string

// The actions.
const (
	Added   ChangeAction = "added"
	Changed ChangeAction = "changed" // a session is started again, and its conversation goes on
	Removed ChangeAction = "removed" // it is stopped
)

// Change is what a reload does to one session or one setting.
type Change struct {
	Session string `json:"session,omitempty"`
	// Setting is a group, a pool, a budget or the limits, by its name in the file: supervisors.ci, pools.workers, budgets.team, limits.
	Setting string        `json:"setting,omitempty"`
	Action  ChangeAction  `json:"action"`
	Fields  []FieldChange `json:"fields,omitempty"`
	Error   string        `json:"error,omitempty"` // why it did not happen
}

// Name is the session or the setting.
func (c Change) Name() string { return cmp.Or(c.Session, c.Setting) }

// FieldChange is an option that has another value. The values are as a session's setup has them; both are absent if they may
// not be shown.
type FieldChange struct {
	Field  string `json:"field"`
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}

// reload serves POST reload?dry_run=true.
func (h *handler) reload(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxIdleBody)); err != nil {
		refuse(w, &Error{BadRequest, fmt.Sprintf("this takes no body: %v", err)})
		return
	}
	if h.options.Reload == nil {
		refuse(w, &Error{Unavailable, "this program reads no configuration file"})
		return
	}
	dry, err := yes(r, "dry_run")
	if err != nil {
		refuse(w, err)
		return
	}
	patient(w)
	var report Reload
	read := func() (err error) {
		report, err = h.options.Reload(r.Context(), h.guard.principal(r), dry)
		return err
	}
	if dry {
		err = read()
	} else {
		err = h.recorded(r, "reload", "", read)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	writeJSON(w, http.StatusOK, report)
}

// Reload has the daemon read its configuration again, or only say what that would change.
func (c *Client) Reload(ctx context.Context, dryRun bool) (Reload, error) {
	var report Reload
	response, err := c.send(ctx, http.MethodPost, "reload?dry_run="+strconv.FormatBool(dryRun), nil)
	if err != nil {
		return report, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil {
		return report, c.lost(ctx, fmt.Errorf("read the answer: %w", err))
	}
	return report, nil
}

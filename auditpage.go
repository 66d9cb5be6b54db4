package understudy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// AuditPage is a page of the audit log.
func (b *backend) AuditPage(ctx context.Context, q debug.AuditQuery) (records []json.RawMessage, last uint64, err error) {
	if b.trail == nil {
		return nil, 0, &debug.Error{Code: debug.Unavailable, Message: "there is no audit log: set DataDir or Audit.Dir"}
	}
	filter := audit.Filter{
		Sessions: q.Sessions, Tools: q.Tools, Turn: q.Turn, ToolUse: q.ToolUse, Since: q.Since, Until: q.Until, Text: q.Text,
		After: q.After, Limit: q.Limit,
	}
	for _, name := range q.Kinds {
		kinds := audit.KindsOf(name)
		if len(kinds) == 0 {
			return nil, 0, &debug.Error{Code: debug.BadRequest, Message: fmt.Sprintf("kind=%.40s: expected one of %v", name, audit.Kinds())}
		}
		filter.Kinds = append(filter.Kinds, kinds...)
	}
	for _, name := range q.Outcomes {
		if !slices.Contains(audit.Outcomes, audit.Outcome(name)) { // nothing would fit, which would say that nothing was denied
			return nil, 0, &debug.Error{Code: debug.BadRequest, Message: fmt.Sprintf("outcome=%.40s: expected one of %v", name, audit.Outcomes)}
		}
		filter.Outcomes = append(filter.Outcomes, audit.Outcome(name))
	}
	filter.Before = q.Before
	if q.Newest {
		return b.newestRecords(ctx, filter)
	}
	for r, err := range b.trail.Log().Records(ctx, filter) {
		if _, damaged := errors.AsType[*audit.DamageError](err); damaged {
			continue // verify says so
		}
		if err != nil {
			return nil, 0, err
		}
		record, err := marshal(r)
		if err != nil {
			return nil, 0, err
		}
		records, last = append(records, record), r.Seq
	}
	return records, last, nil
}

// firstLook is how many records are looked at first for the newest that fit, and lookFactor how many times as many each time that
// they were not enough.
const (
	firstLook  = 1024
	lookFactor = 8
)

// newestRecords looks back in steps, since a log is read forwards. What ctx leaves no time for is for the next page.
func (b *backend) newestRecords(ctx context.Context, filter audit.Filter) (records []json.RawMessage, last uint64, err error) {
	most, end := filter.Limit, filter.Before
	if end == 0 {
		newest, err := audit.Tail(b.auditDir(), 1)
		if len(newest) == 0 {
			return nil, 0, err
		}
		end = newest[0].Seq + 1
	}
	filter.Limit = 0
	for step := uint64(firstLook); end > 1 && len(records) < most; step *= lookFactor {
		filter.Before, filter.After = end, end-1-min(end-1, step)
		found, err := b.lastFitting(ctx, filter, most-len(records))
		if ctx.Err() != nil && len(records) > 0 {
			return records, end, nil // the older part of a step is not what was asked for
		}
		if err != nil {
			return nil, 0, err
		}
		for _, r := range slices.Backward(found) {
			record, err := marshal(r)
			if err != nil {
				return nil, 0, err
			}
			records = append(records, record)
		}
		end = filter.After + 1
		if len(records) == most {
			end = found[0].Seq
		}
	}
	return records, end, nil
}

// lastFitting gives the last records that fit, oldest first.
func (b *backend) lastFitting(ctx context.Context, filter audit.Filter, most int) ([]audit.Record, error) {
	var found []audit.Record
	for r, err := range b.trail.Log().Records(ctx, filter) {
		if _, damaged := errors.AsType[*audit.DamageError](err); damaged {
			continue // verify says so
		}
		if err != nil {
			return nil, err
		}
		if found = append(found, r); len(found) >= 2*most {
			found = slices.Delete(found, 0, len(found)-most)
		}
	}
	return found[max(0, len(found)-most):], nil
}

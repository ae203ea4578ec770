package client

import (
	"context"
	"net/http"
	"net/url"
)

// TypeRequest pauses or resumes a workflow type.
type TypeRequest struct {
	Type      string
	CommandID string // makes repeats of this one; empty: a new one
	Reason    string // for people; at most 1 KB
}

// Types lists the workflow types that the engine has, and those that were ever paused, with
// what operators did.
func (c *HTTP) Types(ctx context.Context) (p TypePage, err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: "/v1/types"}, &p)
	return p, err
}

// PauseType lets what comes for the runs of a workflow type wait, in all partitions, until
// it is resumed. Starts are accepted, and wait as well.
func (c *HTTP) PauseType(ctx context.Context, r TypeRequest) (TypeDone, error) {
	return c.operateType(ctx, "/pause", r)
}

// ResumeType lets a paused workflow type go on. It returns when that is settled; the runs
// follow, some at a time.
func (c *HTTP) ResumeType(ctx context.Context, r TypeRequest) (TypeDone, error) {
	return c.operateType(ctx, "/resume", r)
}

func (c *HTTP) operateType(ctx context.Context, verb string, r TypeRequest) (done TypeDone, err error) {
	id, err := command(r.Type, r.CommandID, nil)
	if err != nil {
		return done, err
	}
	q := url.Values{}
	set(q, "reason", r.Reason)
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/v1/types/" + segment(r.Type) + verb, query: q, commandID: id}, &done)
	return done, err
}

package engine

import (
	"context"
	"sync"

	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/job"
	"github.com/odradek/odradek/record"
)

// jobEngine carries jobs out on an instance. The types of jobs are made before the instance
// that runs them, so it is given one, before that starts; what only names types never does.
type jobEngine struct{ httpapi.Engine }

var _ job.Engine = (*jobEngine)(nil)

// Runs lists a partition.
func (e *jobEngine) Runs(ctx context.Context, p int32, q job.Query) ([]record.RunRow, error) {
	return e.List(ctx, p, httpapi.ListQuery{Status: q.Status, Filter: q.Filter, Limit: q.Limit, After: httpapi.ListPosition{StartedAt: q.Started, Run: q.Run}})
}

// Count counts in a partition.
func (e *jobEngine) Count(ctx context.Context, p int32, q job.Query) (int64, error) {
	return e.Engine.Count(ctx, p, httpapi.ListQuery{Status: q.Status, Filter: q.Filter})
}

// Submit gives the commands at the same time, so that they share transactions. An error of
// one is that of all: sent again, those that were applied say so.
func (e *jobEngine) Submit(ctx context.Context, commands []job.Command) ([]record.Reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	replies := make([]record.Reply, len(commands))
	var wg sync.WaitGroup
	for i, c := range commands {
		wg.Go(func() {
			var err error
			if replies[i], err = e.Engine.Submit(ctx, c.WorkflowID, c.Body); err != nil {
				cancel(err) // the first one is the cause
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return replies, nil
}

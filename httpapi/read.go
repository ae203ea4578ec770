package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// GetWorkflow shows the current run.
func (s operations) GetWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID) {
	c := &call{r: r, workflowID: id}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		run, err := s.cfg.Engine.Run(ctx, id)
		if err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusOK, body: workflow(&run, true)}, nil
	})
}

// GetResult shows the result, or waits for it.
func (s operations) GetResult(w http.ResponseWriter, r *http.Request, id api.WorkflowID, p api.GetResultParams) {
	c := &call{r: r, workflowID: id}
	if bad := c.wait(p.Wait); bad != nil {
		writeProblem(w, bad)
		return
	}
	s.route(w, c, func(ctx context.Context) (answer, error) { return s.awaitResult(ctx, c) })
}

// awaitResult waits until the run is closed or the client's time is up. It asks
// the state, so it may be called again on another owner (I1).
func (s *Server) awaitResult(ctx context.Context, c *call) (answer, error) {
	if c.waitGiven {
		waiting, cancel := context.WithDeadline(ctx, c.waitUntil)
		err := s.cfg.Engine.WaitClosed(waiting, c.workflowID)
		over := waiting.Err() != nil
		cancel()
		if err != nil && !over {
			return answer{}, err
		}
		if err := ctx.Err(); err != nil {
			return answer{}, err
		}
	}
	run, err := s.cfg.Engine.Run(ctx, c.workflowID)
	if err != nil {
		return answer{}, err
	}
	status := http.StatusOK
	if !run.Row.Status.Closed() {
		status = http.StatusAccepted
	}
	return answer{status: status, body: workflow(&run, false)}, nil
}

// GetHistory shows one page of the history.
func (s operations) GetHistory(w http.ResponseWriter, r *http.Request, id api.WorkflowID, p api.GetHistoryParams) {
	limit, bad := pageLimit(p.Limit)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	run, from, err := decodeHistoryCursor(p.Cursor)
	if err != nil {
		writeProblem(w, badCursor(err))
		return
	}
	c := &call{r: r, workflowID: id}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		at := run
		if at.IsZero() {
			current, err := s.cfg.Engine.Run(ctx, id)
			if err != nil {
				return answer{}, err
			}
			at = current.Row.Run
		}
		page, err := s.historyPage(ctx, id, at, from, limit)
		return answer{status: http.StatusOK, body: page}, err
	})
}

func (s *Server) historyPage(ctx context.Context, id string, run record.RunID, from uint64, limit int) (api.HistoryPage, error) {
	page := api.HistoryPage{WorkflowID: id, RunID: run.String(), Events: []json.RawMessage{}}
	size := 0
	for len(page.Events) < limit && size < historyBytesMax {
		n := min(historyStep, limit-len(page.Events))
		events, err := s.cfg.Engine.History(ctx, id, run, from, n)
		if err != nil {
			return page, err
		}
		for _, e := range events {
			size += len(e)
		}
		page.Events = append(page.Events, events...)
		from += uint64(len(events)) // dense from 1
		if len(events) < n {
			return page, nil
		}
	}
	page.NextCursor = encodeHistoryCursor(run, from)
	return page, nil
}

func pageLimit(n int32) (int, *problemError) {
	switch {
	case n < 0:
		return 0, problem(api.CodeRequestInvalid, "the parameter limit is %d: use 1 to %d", n, listLimitMax)
	case n == 0:
		return listLimitDefault, nil
	}
	return min(int(n), listLimitMax), nil
}

// Cursors are opaque to clients. They begin with a format version.

func encodeHistoryCursor(run record.RunID, from uint64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "1h %s %d", run, from))
}

func decodeHistoryCursor(cursor string) (run record.RunID, from uint64, err error) {
	if cursor == "" {
		return run, 1, nil
	}
	fields, err := cursorFields(cursor, "1h", 3)
	if err != nil {
		return run, 0, err
	}
	if run, err = record.ParseRunID(fields[1]); err != nil {
		return run, 0, err
	}
	from, err = strconv.ParseUint(fields[2], 10, 63)
	if err == nil && from == 0 {
		err = errors.New("history events count from 1")
	}
	return run, from, err
}

func cursorFields(cursor, format string, n int) ([]string, error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, err
	}
	fields := strings.Split(string(text), " ")
	if len(fields) != n || fields[0] != format {
		return nil, errors.New("it is of another list")
	}
	return fields, nil
}

func badCursor(err error) *problemError {
	return problem(api.CodeRequestInvalid, "the parameter cursor is not valid (%v): use the next_cursor of the page before, or none", err)
}

// parseWait reads seconds, or a number with its unit, and cuts at waitMax.
func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		if n, nerr := strconv.ParseUint(text, 10, 31); nerr == nil {
			d, err = time.Duration(n)*time.Second, nil
		}
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time to wait: use seconds or a number with ms, s or m, as 30s", text)
	}
	return min(d, waitMax), nil
}

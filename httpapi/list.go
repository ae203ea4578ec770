package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// ListWorkflows asks all owners and merges what they have.
func (s operations) ListWorkflows(w http.ResponseWriter, r *http.Request, p api.ListWorkflowsParams) {
	q, want, bad := s.listQuery(p)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	l := &listing{s: s.Server, r: r, q: q, params: p, missing: want, forwarded: r.Header.Get(ForwardedHeader) != ""}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	l.collect(ctx)
	s.writeAnswer(w, answer{status: http.StatusOK, body: l.page()})
}

func (s *Server) listQuery(p api.ListWorkflowsParams) (q ListQuery, want map[int32]bool, bad *problemError) {
	limit, bad := pageLimit(p.Limit)
	if bad != nil {
		return q, nil, bad
	}
	q = ListQuery{Type: p.Type, Limit: limit}
	if p.Status != "" {
		for st := record.StatusRunning; st <= record.StatusContinued; st++ {
			if st.String() == string(p.Status) {
				q.Status = st
			}
		}
		if q.Status == record.StatusNone {
			return q, nil, problem(api.CodeRequestInvalid, "the parameter status is %q: use running, completed, failed, cancelled, terminated or continued", p.Status)
		}
	}
	var err error
	if q.After, err = decodeListCursor(p.Cursor); err != nil {
		return q, nil, badCursor(err)
	}
	n := s.cfg.Engine.Partitions()
	want = make(map[int32]bool, n)
	for _, i := range p.Partition {
		if i < 0 || i >= n {
			return q, nil, problem(api.CodeRequestInvalid, "the parameter partition is %d: there are partitions 0 to %d", i, n-1)
		}
		want[i] = true
	}
	for i := range n {
		want[i] = want[i] || len(p.Partition) == 0
	}
	maps.DeleteFunc(want, func(_ int32, wanted bool) bool { return !wanted })
	return q, want, nil
}

// listing gathers one page. Only collect's goroutine touches it, but for the
// results of peers, which come over a channel.
type listing struct {
	s         *Server
	r         *http.Request
	q         ListQuery
	params    api.ListWorkflowsParams
	forwarded bool // asked by an instance: only what is owned here

	missing map[int32]bool // not answered yet
	rows    []api.Workflow
	more    bool // a partition has more rows than it gave
}

// collect asks until every partition has answered, or nobody is found who would.
func (l *listing) collect(ctx context.Context) {
	patience := time.Now().Add(l.s.cfg.ListPatience)
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		l.round(ctx)
		if len(l.missing) == 0 || l.forwarded || !time.Now().Before(patience) {
			return
		}
		select {
		case <-time.After(min(pause, time.Until(patience))):
		case <-ctx.Done():
			return
		}
	}
}

// round asks each owner of a missing partition once.
func (l *listing) round(ctx context.Context) {
	peers := map[string][]int32{}
	for _, p := range slices.Sorted(maps.Keys(l.missing)) {
		addr, self, ok := l.s.cfg.Engine.Owner(p)
		switch {
		case ok && self:
			l.local(ctx, p)
		case ok && !l.forwarded:
			peers[addr] = append(peers[addr], p)
		}
	}
	pages := make([]*api.WorkflowPage, len(peers))
	var wg sync.WaitGroup
	asked := slices.Sorted(maps.Keys(peers))
	for i, addr := range asked {
		wg.Go(func() { pages[i] = l.peer(ctx, addr, peers[addr]) })
	}
	wg.Wait()
	for i, page := range pages {
		if page != nil {
			l.take(page, peers[asked[i]])
		}
	}
}

func (l *listing) local(ctx context.Context, p int32) {
	q := l.q
	q.Limit++ // one more tells whether there are more
	rows, err := l.s.cfg.Engine.List(ctx, p, q)
	if err != nil {
		if !errors.Is(err, ErrNotOwner) && ctx.Err() == nil {
			l.s.logger.Error("list a partition", "partition", p, "error", err)
		}
		return
	}
	if len(rows) > l.q.Limit {
		rows, l.more = rows[:l.q.Limit], true
	}
	for i := range rows {
		l.rows = append(l.rows, listed(&rows[i]))
	}
	delete(l.missing, p)
}

// peer asks another instance for the partitions that it owns.
func (l *listing) peer(ctx context.Context, addr string, partitions []int32) *api.WorkflowPage {
	q := url.Values{"limit": {strconv.Itoa(l.q.Limit)}}
	for name, v := range map[string]string{"type": l.params.Type, "status": string(l.params.Status), "cursor": l.params.Cursor} {
		if v != "" {
			q.Set(name, v)
		}
	}
	for _, p := range partitions {
		q.Add("partition", strconv.Itoa(int(p)))
	}
	ctx, cancel := context.WithTimeout(ctx, max(l.s.cfg.ListPatience, time.Second)) // one slow peer makes a partial page
	defer cancel()
	page := &api.WorkflowPage{}
	req, err := l.s.peerRequest(ctx, l.r, addr, q, nil)
	if err == nil {
		var status int
		var body []byte
		if status, _, body, err = l.s.ask(req); err == nil && status != http.StatusOK {
			err = fmt.Errorf("it answered with status %d", status)
		}
		if err == nil {
			err = json.Unmarshal(body, page)
		}
	}
	if err != nil {
		l.s.logger.Warn("list the partitions of another instance", "instance", addr, "error", err)
		return nil
	}
	return page
}

func (l *listing) take(page *api.WorkflowPage, partitions []int32) {
	for _, p := range partitions {
		if !slices.Contains(page.MissingPartitions, p) {
			delete(l.missing, p)
		}
	}
	l.rows = append(l.rows, page.Workflows...)
	l.more = l.more || page.NextCursor != ""
}

// page merges the rows.
func (l *listing) page() api.WorkflowPage {
	slices.SortFunc(l.rows, func(a, b api.Workflow) int {
		switch x, y := positionOf(&a), positionOf(&b); {
		case x.Before(y):
			return -1
		case y.Before(x):
			return 1
		}
		return 0
	})
	page := api.WorkflowPage{Workflows: l.rows, Partial: len(l.missing) > 0, MissingPartitions: slices.Sorted(maps.Keys(l.missing))}
	if len(page.Workflows) > l.q.Limit {
		page.Workflows, l.more = page.Workflows[:l.q.Limit], true
	}
	if page.Workflows == nil {
		page.Workflows = []api.Workflow{}
	}
	if n := len(page.Workflows); l.more && n > 0 {
		page.NextCursor = encodeListCursor(positionOf(&page.Workflows[n-1]))
	}
	return page
}

func positionOf(v *api.Workflow) ListPosition {
	run, _ := record.ParseRunID(v.RunID) // ours, or a peer's of the same namespace
	return ListPosition{StartedAt: record.MillisOf(v.StartedAt), Run: run}
}

func encodeListCursor(p ListPosition) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "1l %d %s", p.StartedAt, p.Run))
}

func decodeListCursor(cursor string) (p ListPosition, err error) {
	if cursor == "" {
		return p, nil
	}
	fields, err := cursorFields(cursor, "1l", 3)
	if err != nil {
		return p, err
	}
	at, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return p, err
	}
	run, err := record.ParseRunID(fields[2])
	return ListPosition{StartedAt: record.Millis(at), Run: run}, err
}

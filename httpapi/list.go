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
	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
)

// ListWorkflows asks all owners and merges what they have.
func (s operations) ListWorkflows(w http.ResponseWriter, r *http.Request, p api.ListWorkflowsParams) {
	q, want, bad := s.listQuery(p)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	s.writeAnswer(w, answer{status: http.StatusOK, body: s.list(r, q, want, p)})
}

// list gathers a page of what q asks, as p says it.
func (s *Server) list(r *http.Request, q ListQuery, want map[int32]bool, p api.ListWorkflowsParams) api.WorkflowPage {
	l := &listing{gathering: s.gather(r, want), q: q, params: p}
	l.local, l.ask, l.take = l.localPage, l.query, l.takePage
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	l.collect(ctx)
	return l.page()
}

func (s *Server) listQuery(p api.ListWorkflowsParams) (q ListQuery, want map[int32]bool, bad *problemError) {
	limit, bad := pageLimit(p.Limit)
	if bad != nil {
		return q, nil, bad
	}
	q = ListQuery{Type: p.Type, Limit: limit}
	if q.Filter, bad = filterOf(p.Filter); bad != nil {
		return q, nil, bad
	}
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
	want, bad = s.wanted(p.Partition)
	return q, want, bad
}

func filterOf(src string) (filter.Filter, *problemError) {
	f, err := filter.Parse(src, time.Now())
	if err != nil {
		return f, problem(api.CodeRequestInvalid, "the parameter filter: %v", err)
	}
	return f, nil
}

// wanted are the partitions that are asked for.
func (s *Server) wanted(partitions []int32) (map[int32]bool, *problemError) {
	n := s.cfg.Engine.Partitions()
	want := make(map[int32]bool, n)
	for _, i := range partitions {
		if i < 0 || i >= n {
			return nil, problem(api.CodeRequestInvalid, "the parameter partition is %d: there are partitions 0 to %d", i, n-1)
		}
		want[i] = true
	}
	for i := range n {
		want[i] = want[i] || len(partitions) == 0
	}
	maps.DeleteFunc(want, func(_ int32, wanted bool) bool { return !wanted })
	return want, nil
}

// listing gathers one page.
type listing struct {
	gathering
	q      ListQuery
	params api.ListWorkflowsParams
	rows   []api.Workflow
	more   bool // a partition has more rows than it gave
}

// gathering asks every owner of partitions. Only collect's goroutine touches it.
type gathering struct {
	s         *Server
	r         *http.Request
	forwarded bool           // asked by an instance: only what is owned here
	commandID string         // of a command; empty: a read
	missing   map[int32]bool // not answered yet
	// local asks a partition that is owned here; false: it did not answer.
	local func(ctx context.Context, p int32) error
	// ask makes the query for a peer, and take takes its answer, which names the
	// partitions that did not answer it.
	ask  func() url.Values
	take func(body []byte) (missing []int32, err error)
}

func (s *Server) gather(r *http.Request, want map[int32]bool) gathering {
	return gathering{s: s, r: r, missing: want, forwarded: r.Header.Get(ForwardedHeader) != ""}
}

// collect asks until every partition has answered, or nobody is found who would.
func (l *gathering) collect(ctx context.Context) {
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
func (l *gathering) round(ctx context.Context) {
	peers := map[string][]int32{}
	for _, p := range slices.Sorted(maps.Keys(l.missing)) {
		addr, self, ok := l.s.cfg.Engine.Owner(p)
		switch {
		case ok && self:
			err := l.local(ctx, p)
			if err == nil {
				delete(l.missing, p)
			} else if !errors.Is(err, ErrNotOwner) && ctx.Err() == nil {
				l.s.logger.Error("ask a partition", "partition", p, "error", err)
			}
		case ok && !l.forwarded:
			peers[addr] = append(peers[addr], p)
		}
	}
	answers := make([][]byte, len(peers))
	var wg sync.WaitGroup
	asked := slices.Sorted(maps.Keys(peers))
	for i, addr := range asked {
		wg.Go(func() { answers[i] = l.peer(ctx, addr, peers[addr]) })
	}
	wg.Wait()
	for i, body := range answers {
		if body == nil {
			continue
		}
		missing, err := l.take(body)
		if err != nil {
			l.s.logger.Warn("ask the partitions of another instance", "instance", asked[i], "error", err)
			continue
		}
		for _, p := range peers[asked[i]] {
			if !slices.Contains(missing, p) {
				delete(l.missing, p)
			}
		}
	}
}

// peer asks another instance for the partitions that it owns; nil: it did not answer.
func (l *gathering) peer(ctx context.Context, addr string, partitions []int32) []byte {
	q := l.ask()
	for _, p := range partitions {
		q.Add("partition", strconv.Itoa(int(p)))
	}
	ctx, cancel := context.WithTimeout(ctx, max(l.s.cfg.ListPatience, time.Second)) // one slow peer makes a partial answer
	defer cancel()
	req, err := l.s.peerRequest(ctx, l.r, addr, q, nil)
	var body []byte
	if err == nil {
		if l.commandID != "" {
			req.Header.Set("Idempotency-Key", l.commandID)
		}
		var status int
		if status, _, body, err = l.s.ask(req); err == nil && status != http.StatusOK {
			err = fmt.Errorf("it answered with status %d", status)
		}
	}
	if err != nil {
		l.s.logger.Warn("ask the partitions of another instance", "instance", addr, "error", err)
		return nil
	}
	return body
}

func (l *listing) localPage(ctx context.Context, p int32) error {
	q := l.q
	q.Limit++ // one more tells whether there are more
	rows, err := l.s.cfg.Engine.List(ctx, p, q)
	if err != nil {
		return err
	}
	if len(rows) > l.q.Limit {
		rows, l.more = rows[:l.q.Limit], true
	}
	for i := range rows {
		l.rows = append(l.rows, listed(&rows[i]))
	}
	return nil
}

func (l *listing) query() url.Values {
	q := url.Values{"limit": {strconv.Itoa(l.q.Limit)}}
	for name, v := range map[string]string{"type": l.params.Type, "status": string(l.params.Status), "cursor": l.params.Cursor, "filter": l.params.Filter} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q
}

func (l *listing) takePage(body []byte) ([]int32, error) {
	page := &api.WorkflowPage{}
	if err := json.Unmarshal(body, page); err != nil {
		return nil, err
	}
	l.rows = append(l.rows, page.Workflows...)
	l.more = l.more || page.NextCursor != ""
	return page.MissingPartitions, nil
}

// CountWorkflows asks all owners and adds what they say.
func (s operations) CountWorkflows(w http.ResponseWriter, r *http.Request, p api.CountWorkflowsParams) {
	f, bad := filterOf(p.Filter)
	var want map[int32]bool
	if bad == nil {
		want, bad = s.wanted(p.Partition)
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	out := api.WorkflowCount{}
	g := s.gather(r, want)
	g.local = func(ctx context.Context, partition int32) error {
		n, err := s.cfg.Engine.Count(ctx, partition, ListQuery{Filter: f})
		out.Count += n
		return err
	}
	g.ask = func() url.Values { return url.Values{"filter": {p.Filter}} }
	g.take = func(body []byte) ([]int32, error) {
		var more api.WorkflowCount
		err := json.Unmarshal(body, &more)
		out.Count += more.Count
		return more.MissingPartitions, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	g.collect(ctx)
	out.Partial, out.MissingPartitions = len(g.missing) > 0, slices.Sorted(maps.Keys(g.missing))
	s.writeAnswer(w, answer{status: http.StatusOK, body: out})
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

package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// ListTypes asks all owners and merges what they have.
func (s operations) ListTypes(w http.ResponseWriter, r *http.Request, p api.ListTypesParams) {
	want, bad := s.wanted(p.Partition)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	m := typeMerge{}
	g := s.gather(r, want)
	g.local = func(ctx context.Context, partition int32) error {
		rows, err := s.cfg.Engine.TypeRows(ctx, partition)
		for i := range rows {
			m.take(typeView(&rows[i], partition))
		}
		return err
	}
	g.ask = func() url.Values { return url.Values{} }
	g.take = func(body []byte) ([]int32, error) {
		var page api.TypePage
		err := json.Unmarshal(body, &page)
		for _, t := range page.Types {
			m.take(t)
		}
		return page.MissingPartitions, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	g.collect(ctx)
	for _, typ := range s.cfg.Engine.Types() {
		m.of(typ).Compiled = true
	}
	s.writeAnswer(w, answer{status: http.StatusOK, body: api.TypePage{
		Types: m.types(), Partitions: s.cfg.Engine.Partitions(), Partial: len(g.missing) > 0, MissingPartitions: slices.Sorted(maps.Keys(g.missing)),
	}})
}

func typeView(row *record.TypeRow, partition int32) api.Type {
	v := api.Type{Type: row.Type}
	if row.Paused() != nil {
		v.PausedPartitions = []int32{partition}
	}
	for i := range row.Acts {
		a := &row.Acts[i]
		v.Acts = append(v.Acts, api.TypeAct{
			Operation: api.TypeActOperation(a.Op.String()), At: a.At.Time(), Reason: a.Reason, By: a.By, CommandID: a.CommandID, Partitions: []int32{partition},
		})
	}
	return v
}

// typeMerge puts together what partitions say of types.
type typeMerge map[string]*api.Type

func (m typeMerge) of(typ string) *api.Type {
	if m[typ] == nil {
		m[typ] = &api.Type{Type: typ}
	}
	return m[typ]
}

// take adds what some partitions say. One command is one act, wherever it was applied.
func (m typeMerge) take(more api.Type) {
	t := m.of(more.Type)
	t.PausedPartitions = append(t.PausedPartitions, more.PausedPartitions...)
	for _, a := range more.Acts {
		i := slices.IndexFunc(t.Acts, func(b api.TypeAct) bool {
			return a.CommandID != "" && a.CommandID == b.CommandID && a.Operation == b.Operation
		})
		if i < 0 {
			t.Acts = append(t.Acts, a)
			continue
		}
		b := &t.Acts[i]
		b.Partitions = append(b.Partitions, a.Partitions...)
		if a.At.Before(b.At) {
			b.At = a.At
		}
	}
}

func (m typeMerge) types() []api.Type {
	out := make([]api.Type, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		t := m[name]
		slices.Sort(t.PausedPartitions)
		for i := range t.Acts {
			slices.Sort(t.Acts[i].Partitions)
		}
		slices.SortStableFunc(t.Acts, func(a, b api.TypeAct) int {
			if c := a.At.Compare(b.At); c != 0 {
				return c
			}
			return strings.Compare(a.CommandID, b.CommandID)
		})
		out = append(out, *t)
	}
	return out
}

// PauseType answers when all partitions have settled it. A type that the instance does not
// have is a mistake: runs without code wait by themselves.
func (s operations) PauseType(w http.ResponseWriter, r *http.Request, typ api.WorkflowType, p api.PauseTypeParams) {
	if r.Header.Get(ForwardedHeader) == "" {
		if bad := s.knownType(typ); bad != nil {
			writeProblem(w, bad)
			return
		}
	}
	s.operateType(w, r, p.IdempotencyKey, p.Partition, &record.OperateType{Op: record.OperatePause, Type: typ, Reason: p.Reason})
}

// ResumeType answers when all partitions have settled it; the runs follow, some at a time.
func (s operations) ResumeType(w http.ResponseWriter, r *http.Request, typ api.WorkflowType, p api.ResumeTypeParams) {
	s.operateType(w, r, p.IdempotencyKey, p.Partition, &record.OperateType{Op: record.OperateResume, Type: typ, Reason: p.Reason})
}

// operateType sends the command to each partition, by its owner, always with the same ID: a
// partition that has it already says so.
func (s operations) operateType(w http.ResponseWriter, r *http.Request, key string, partitions []int32, command *record.OperateType) {
	commandID, bad := commandIDOf(key)
	if bad == nil {
		bad = checkName("type", command.Type, typeBytesMax)
	}
	if bad == nil && (len(command.Reason) > reasonBytesMax || !utf8.ValidString(command.Reason)) {
		bad = problem(api.CodeRequestInvalid, "the parameter reason is not UTF-8 or has more than %d bytes: shorten it", reasonBytesMax)
	}
	var want map[int32]bool
	if bad == nil {
		want, bad = s.wanted(partitions)
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	command.CommandID, command.By, command.Reply = commandID, caller(r), true
	c := &call{r: r, workflowID: command.Type, commandID: commandID}
	out := api.TypeDone{Type: command.Type, Outcome: api.TypeDoneOutcomeRepeated}
	var refused *problemError
	g := s.gather(r, want)
	g.commandID = commandID
	g.local = func(ctx context.Context, partition int32) error {
		one := *command
		one.Partition = partition
		reply, err := s.submit(ctx, c, &one)
		var why *problemError
		if errors.As(err, &why) && !why.Retryable {
			refused = why
			return nil
		}
		if reply.Outcome == record.OutcomeApplied {
			out.Outcome = api.TypeDoneOutcomeApplied
		}
		return err
	}
	g.ask = func() url.Values { return url.Values{"reason": {command.Reason}} }
	g.take = func(body []byte) ([]int32, error) {
		var done api.TypeDone
		err := json.Unmarshal(body, &done)
		if done.Outcome == api.TypeDoneOutcomeApplied {
			out.Outcome = done.Outcome
		}
		return done.MissingPartitions, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	g.collect(ctx)
	out.MissingPartitions = slices.Sorted(maps.Keys(g.missing))
	switch {
	case refused != nil:
		writeProblem(w, refused)
	case len(g.missing) > 0 && !g.forwarded:
		writeProblem(w, problem(api.CodeOutcomeUnknown, "partitions %v did not answer; the others did it: send the same request again with Idempotency-Key: %s", out.MissingPartitions, commandID))
	default:
		s.logger.Info("workflow type", "type", command.Type, "operation", command.Op.String(), "outcome", string(out.Outcome), "by", command.By, "reason", command.Reason)
		s.writeAnswer(w, answer{status: http.StatusOK, body: out})
	}
}

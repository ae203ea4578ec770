package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// document writes one JSON document: indented for json, on one line for jsonl.
func (a *app) document(v any) error {
	b, err := encode(v, a.output == "json")
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(b)
	return err
}

// line writes one line of JSON.
func (a *app) line(v any) error {
	b, err := encode(v, false)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(b)
	return err
}

// rows writes a table. Cells are cleaned, and never cut: an ID is to be copied.
func (a *app) rows(header []string, rows [][]string) {
	t := table.NewWriter()
	t.SetOutputMirror(a.stdout)
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	if header != nil {
		t.AppendHeader(tableRow(header))
	}
	for _, r := range rows {
		cells := make([]string, len(r))
		for i := range r {
			cells[i] = clean(r[i])
		}
		if i := slices.Index(header, "STATUS"); i >= 0 {
			cells[i] = a.status(cells[i])
		}
		t.AppendRow(tableRow(cells))
	}
	t.Render()
}

func tableRow(cells []string) (r table.Row) {
	for _, c := range cells {
		r = append(r, c)
	}
	return r
}

// status colours a status on a terminal.
func (a *app) status(s string) string {
	colours := map[string]text.Color{"completed": text.FgGreen, "failed": text.FgRed, "running": text.FgBlue, "stuck": text.FgYellow, "paused": text.FgYellow}
	first, _, _ := strings.Cut(s, " ")
	if c, ok := colours[first]; ok && a.colour {
		return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c, s)
	}
	return s
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// statusOf shows that a running run is paused or stuck.
func statusOf(w *client.Workflow) string {
	if w.Paused || w.TypePaused != nil {
		return "paused"
	}
	if w.Stuck != nil {
		return "stuck (" + w.Stuck.Code + ")"
	}
	return string(w.Status)
}

func (a *app) workflowTable(w *client.Workflow) {
	rows := [][]string{
		{"workflow-id", w.WorkflowID}, {"run-id", w.RunID}, {"type", fmt.Sprintf("%s (version %d)", w.Type, w.Version)},
		{"status", statusOf(w)}, {"started", moment(w.StartedAt)}, {"updated", moment(w.UpdatedAt)}, {"closed", moment(w.ClosedAt)},
		{"events", fmt.Sprint(w.Events)},
	}
	if w.Build != "" {
		rows = append(rows, []string{"build", w.Build})
	}
	if w.ParentID != "" {
		rows = append(rows, []string{"parent", w.ParentID})
	}
	if len(w.Attributes) > 0 {
		rows = append(rows, []string{"attributes", string(w.Attributes)})
	}
	if s := w.Stuck; s != nil {
		rows = append(rows, []string{"stuck since", moment(s.Since)}, []string{"stuck retry", moment(s.RetryAt)}, []string{"stuck because", s.Detail})
	}
	if w.Paused {
		rows = append(rows, []string{"paused since", moment(w.PausedSince)}, []string{"paused because", w.PausedReason})
	}
	if t := w.TypePaused; t != nil {
		rows = append(rows, []string{"type paused since", moment(t.Since) + by(t.By)}, []string{"type paused because", t.Reason})
	}
	if w.Status == api.StatusCompleted {
		rows = append(rows, []string{"result", string(w.Result)})
	}
	if w.Failure != nil {
		rows = append(rows, []string{"failure", failureText(w.Failure)})
	}
	a.rows(nil, rows)
	p := w.Pending
	if p == nil {
		return
	}
	a.section([]string{"TASK", "OPERATION", "ATTEMPT", "NEXT-AT", "LAST-FAILURE"}, len(p.Tasks), func(i int) []string {
		t, last := &p.Tasks[i], "-"
		if t.LastFailure != nil {
			last = failureText(t.LastFailure)
		}
		return []string{t.Task, t.Service + "." + t.Operation, fmt.Sprint(t.Attempt), moment(t.NextAt), last}
	})
	a.section([]string{"TIMER", "DUE"}, len(p.Timers), func(i int) []string {
		return []string{fmt.Sprint(p.Timers[i].Timer), moment(p.Timers[i].Due)}
	})
	a.section([]string{"CHILD", "WORKFLOW-ID", "TYPE"}, len(p.Children), func(i int) []string {
		c, typ := &p.Children[i], "awaited"
		if c.Type != "" {
			typ = c.Type
		}
		return []string{fmt.Sprint(c.Child), c.WorkflowID, typ}
	})
	a.section([]string{"UPDATE", "NAME", "UPDATE-ID"}, len(p.Updates), func(i int) []string {
		return []string{fmt.Sprint(p.Updates[i].Update), p.Updates[i].Name, p.Updates[i].UpdateID}
	})
	a.section([]string{"SIGNAL", "NAME"}, len(p.Signals), func(i int) []string {
		return []string{fmt.Sprint(p.Signals[i].Signal), p.Signals[i].Name}
	})
	if p.Inputs > 0 {
		a.say("%d inputs wait until the run goes on", p.Inputs)
	}
}

// section is a table of its own, unless it has no rows.
func (a *app) section(header []string, n int, row func(i int) []string) {
	if n == 0 {
		return
	}
	fmt.Fprintln(a.stdout)
	rows := make([][]string, n)
	for i := range rows {
		rows[i] = row(i)
	}
	a.rows(header, rows)
}

func failureText(f *record.Failure) string {
	s := f.Error()
	if f.HTTPStatus != 0 {
		s += fmt.Sprintf(" (HTTP %d)", f.HTTPStatus)
	}
	return s
}

func (a *app) listTable(list []client.Workflow) {
	var rows [][]string
	for i := range list {
		w := &list[i]
		rows = append(rows, []string{w.WorkflowID, w.RunID, w.Type, statusOf(w), moment(w.StartedAt), moment(w.ClosedAt)})
	}
	a.rows([]string{"WORKFLOW-ID", "RUN-ID", "TYPE", "STATUS", "STARTED", "CLOSED"}, rows)
}

// payloadRunes is how much of a payload a table shows; json shows all.
const payloadRunes = 100

// historyRow shows what a history event has, payloads last and cut.
func historyRow(raw json.RawMessage) ([]string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("a history event of the engine: %w", err)
	}
	row := []string{bare(fields["event"]), bare(fields["at"]), bare(fields["kind"])}
	names := make([]string, 0, len(fields))
	for n := range fields {
		if n != "event" && n != "at" && n != "kind" {
			names = append(names, n)
		}
	}
	sort.Slice(names, func(i, j int) bool {
		if payloadField(names[i]) != payloadField(names[j]) {
			return payloadField(names[j])
		}
		return names[i] < names[j]
	})
	var details []string
	for _, n := range names {
		v := bare(fields[n])
		if r := []rune(v); payloadField(n) && len(r) > payloadRunes {
			v = string(r[:payloadRunes]) + "…"
		}
		details = append(details, n+"="+v)
	}
	return append(row, strings.Join(details, " ")), nil
}

func payloadField(name string) bool {
	switch name {
	case "input", "payload", "result", "failure", "attempts":
		return true
	}
	return false
}

// bare is a JSON text without its quotes, and any other value as it is.
func bare(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

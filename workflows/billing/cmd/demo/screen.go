package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/odradek/odradek/workflows/billing/apis"
)

// view is all that the screen shows.
type view struct {
	now       time.Time
	since     time.Time // start of the demo
	month     time.Duration
	customers []progress
	books     *books
	http      string
	pid       int // of the engine; 0: none runs
	ready     bool
	starts    int
	kills     int
	notes     []string // the latest last
}

// style is how the terminal is told about bold, dim and colours; nothing at all
// where it is not one, or where the user wants none.
type style struct{ on bool }

func (s style) wrap(code, text string) string {
	if !s.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string  { return s.wrap("1", text) }
func (s style) dim(text string) string   { return s.wrap("2", text) }
func (s style) green(text string) string { return s.wrap("32", text) }
func (s style) red(text string) string   { return s.wrap("31", text) }

// render gives the screen's lines, none wider than width.
func render(v view, st style, width int) []string {
	var out []string
	line := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	line("%s  monthly billing, a month lasts %s  %s", st.bold("Odradek"), v.month, st.dim("running for "+v.now.Sub(v.since).Truncate(time.Second).String()))
	line("%s", engineLine(v, st))
	line("")
	line("%s", st.bold(fmt.Sprintf("%-10s %6s  %-20s %-52s %s", "CUSTOMER", "MONTHS", "THIS MONTH", "WAITING FOR", "LAST EVENT")))
	for _, p := range v.customers {
		line("%s", customerLine(p, v.now, st))
	}
	line("")
	line("%s", st.bold(fmt.Sprintf("%-14s %7s %8s   %8s %8s %8s %8s", "LEDGER OF", "CALLS", "EFFECTS", "requests", "refused", "lost", "repeated")))
	for _, service := range apis.Services() {
		t := v.books.services[service]
		line("%-14s %7d %8d   %s", service, t.Calls, t.Effects, st.dim(fmt.Sprintf("%8d %8d %8d %8d", t.Requests, t.Refused, t.Lost, t.Repeats)))
	}
	line("%s", verdict(v.books.total(), st))
	line("")
	out = append(out, v.notes...)
	line("")
	line("%s  kill -9 the engine    %s  unsubscribe a customer    %s  quit", st.bold("[k]"), st.bold("[u]"), st.bold("[q]"))
	for i := range out {
		out[i] = cut(out[i], width)
	}
	return out
}

func engineLine(v view, st style) string {
	switch {
	case v.pid == 0:
		return "engine   " + st.red("down") + "; the APIs and Kafka are up, months go on ending"
	case !v.ready:
		return fmt.Sprintf("engine   %s (process %d): takes its partitions over", st.red("starting"), v.pid)
	}
	return fmt.Sprintf("engine   %s (process %d, started %d×, killed %d×)  %s", st.green("up"), v.pid, v.starts, v.kills, st.dim("http://"+v.http))
}

func customerLine(p progress, now time.Time, st style) string {
	if !p.known {
		return fmt.Sprintf("%-10s %6s  %-20s", p.customer, "-", "not started yet")
	}
	last := p.last
	if !p.lastAt.IsZero() {
		last += " " + seconds(now.Sub(p.lastAt)) + " ago"
	}
	s := fmt.Sprintf("%-10s %6d  %-20s %-52s %s", p.customer, p.billed, steps(p), p.waiting, st.dim(last))
	if p.failed {
		return st.red(s)
	}
	return s
}

// steps draws the four calls of the month: done, under way, to come.
func steps(p progress) string {
	if p.closed {
		return "closed"
	}
	var b strings.Builder
	for i := range apis.Services() {
		switch {
		case i < p.done:
			b.WriteString("● ")
		case i == p.done && p.running:
			b.WriteString("◐ ")
		default:
			b.WriteString("○ ")
		}
	}
	if p.running {
		b.WriteString(apis.Services()[p.done])
	}
	return b.String()
}

// verdict is what the ledgers come to. A call whose effect is not done yet is under
// way.
func verdict(t tally, st style) string {
	s := fmt.Sprintf("%-14s %7d %8d   ", "all", t.Calls, t.Effects)
	if t.Doubled > 0 {
		return s + st.red(fmt.Sprintf("%d effects were done twice", t.Doubled))
	}
	return s + st.green("each call has at most one effect: nothing was done twice")
}

// cut shortens a line to the terminal's width. Escape sequences take no room and
// are kept, or a colour would go on.
func cut(s string, width int) string {
	var b strings.Builder
	room := width
	for i := 0; i < len(s); {
		if s[i] == 0x1b {
			end := strings.IndexByte(s[i:], 'm')
			if end < 0 {
				break
			}
			b.WriteString(s[i : i+end+1])
			i += end + 1
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		if room > 0 {
			b.WriteString(s[i : i+size])
			room--
		}
		i += size
	}
	return b.String()
}

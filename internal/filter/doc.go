// Package filter is the one grammar with which runs are chosen: in lists, counts and
// jobs.
//
//	type = "billing" and status in (running, failed) and not customer starts "test-"
//	total >= 100.5 and due < 2026-01-02T00:00:00Z and started > now-24h
//
// A comparison is a field, an operator and a value. Fields are type, status, id, run,
// version, started, closed, updated, or the name of a search attribute. Operators are =,
// !=, <, <=, >, >=, starts (of texts) and in, with values in parentheses. Values are texts
// in quotes, numbers, true, false, times as RFC 3339 has them, now, now-24h or now+24h,
// and for status its words. and binds closer than or; not is of what follows it.
//
// An attribute that a run does not have fits no comparison but !=. Values of another type
// than the attribute's are unequal to it and in no order with it; numbers are one type.
package filter

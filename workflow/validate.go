package workflow

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
)

const nameBytesMax = 100

// Validate refuses what cannot work: names that cannot become topics, headers and
// labels, a function that is missing, policies that make no sense, one signal with
// two types. The error names everything that is wrong.
func (d Definition) Validate() error {
	if d.d == nil {
		return errors.New("workflow: the zero Definition: make one with workflow.Define")
	}
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("workflow type %q: "+format, append([]any{d.d.typ}, args...)...))
	}
	if why := nameWrong(d.d.typ); why != "" {
		refuse("its name %s", why)
	}
	if d.d.version == 0 {
		refuse("its version is 0: versions count from 1")
	}
	if d.d.history > HistoryAll {
		refuse("%s is no history level: use HistoryLifecycle, HistoryOff or HistoryAll", d.d.history)
	}
	if d.d.retention < 0 {
		refuse("its retention %s is negative: leave the option out for the deployment's setting", d.d.retention)
	}
	for _, t := range d.d.tasks {
		if why := nameWrong(t.service); why != "" {
			refuse("service %q of operation %q: the name %s", t.service, t.operation, why)
		}
		if why := nameWrong(t.operation); why != "" {
			refuse("operation %q of service %q: the name %s", t.operation, t.service, why)
		}
		if why := policyWrong(t.policy); why != "" {
			refuse("retry policy of task %s/%s: %s", t.service, t.operation, why)
		}
		if why := limitsWrong(t.limits); why != "" {
			refuse("limits of task %s/%s: %s", t.service, t.operation, why)
		}
		if t.limitBy != "" {
			refuse("LimitBy of task %s/%s: %s", t.service, t.operation, t.limitBy)
		}
	}
	locals := map[string]bool{}
	for _, u := range d.d.locals {
		if why := nameWrong(u.name); why != "" {
			refuse("local task %q: the name %s", u.name, why)
		}
		if why := policyWrong(u.policy); why != "" {
			refuse("retry policy of local task %s: %s", u.name, why)
		}
		if why := limitsWrong(u.limits); why != "" {
			refuse("limits of local task %s: %s", u.name, why)
		}
		if u.limits.Queued != 0 || u.limits.Heartbeat != 0 {
			refuse("limits of local task %s: Queued and Heartbeat are limits of workers; use Attempt and Total", u.name)
		}
		if u.keyed {
			refuse("local task %s has a LimitBy: limits by key are those of services; remove it", u.name)
		}
		if locals[u.name] {
			refuse("local task %q is given twice to Define: give each function a name of its own", u.name)
		}
		locals[u.name] = true
	}
	for _, sort := range []struct {
		what string
		uses []payloadUse
	}{{"signal", d.d.signals}, {"query", d.d.queries}, {"update", d.d.updates}} {
		seen := map[string]bool{}
		for _, u := range sort.uses {
			if why := nameWrong(u.name); why != "" {
				refuse("%s %q: the name %s", sort.what, u.name, why)
			}
			if seen[u.name] {
				refuse("%s %q is given twice to Define: give it once", sort.what, u.name)
			}
			seen[u.name] = true
		}
	}
	types := map[string]record.AttributeType{}
	for _, u := range d.d.attributes {
		if why := nameWrong(u.name); why != "" {
			refuse("attribute %q: the name %s", u.name, why)
		}
		if filter.Reserved(u.name) || strings.HasPrefix(u.name, record.PatchAttributePrefix) {
			refuse("attribute %q: filters have that word for themselves: choose another name", u.name)
		}
		if t, twice := types[u.name]; twice && t != u.typ {
			refuse("attribute %q has two types: give it one", u.name)
		}
		types[u.name] = u.typ
	}
	return errors.Join(errs...)
}

func nameWrong(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > nameBytesMax:
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(name), nameBytesMax)
	case name[0] == '.' || strings.Contains(name, ".."):
		return "starts with a dot or has two in a row"
	}
	for _, r := range name {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", r) {
			return fmt.Sprintf("has %q; allowed are A-Z a-z 0-9 . _ -", r)
		}
	}
	return ""
}

func limitsWrong(l TaskLimits) string {
	for _, x := range []struct {
		name string
		d    time.Duration
	}{{"Queued", l.Queued}, {"Attempt", l.Attempt}, {"Total", l.Total}, {"Heartbeat", l.Heartbeat}} {
		if x.d < 0 || x.d > 0 && x.d < time.Millisecond {
			return fmt.Sprintf("%s is %v: use a millisecond or more, or leave it out for none", x.name, x.d)
		}
	}
	return ""
}

func policyWrong(p RetryPolicy) string {
	switch {
	case p.Initial < 0 || p.Max < 0:
		return "a pause is negative"
	case p.Max > 0 && p.Initial > p.Max:
		return fmt.Sprintf("the first pause %s is longer than the longest, %s", p.Initial, p.Max)
	case p.Multiplier != 0 && !(p.Multiplier >= 1):
		return fmt.Sprintf("multiplier %v: it must be at least 1", p.Multiplier)
	case !(p.Jitter <= 1):
		return fmt.Sprintf("jitter %v: it is a share, at most 1; negative is none", p.Jitter)
	}
	return ""
}

package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
)

// Operation is what a job does.
type Operation string

// Operations on runs, and on dead letters.
const (
	Retry     Operation = "retry"
	Pause     Operation = "pause"
	Resume    Operation = "resume"
	Cancel    Operation = "cancel"
	Terminate Operation = "terminate"

	RetryDeadLetters   Operation = "retry_dead_letters"
	DiscardDeadLetters Operation = "discard_dead_letters"
)

// Operations are all of them.
func Operations() []Operation {
	return []Operation{Retry, Pause, Resume, Cancel, Terminate, RetryDeadLetters, DiscardDeadLetters}
}

// OfDeadLetters reports whether it is done to dead letters.
func (o Operation) OfDeadLetters() bool { return o == RetryDeadLetters || o == DiscardDeadLetters }

// Status is what only runs can have to which it is done; StatusNone: any.
func (o Operation) Status() record.Status {
	if o == Retry {
		return record.StatusNone // failed, or running and waiting
	}
	return record.StatusRunning
}

// Spec says what is done, to what and how fast. As JSON it is checked when it is read.
type Spec struct {
	Operation Operation `json:"operation"`
	// Filter chooses the runs, in the grammar of lists; of an operation on runs, required.
	Filter string `json:"filter,omitempty"`
	// Code chooses dead letters. Default: all.
	Code string `json:"code,omitempty"`
	// Rate is how many a second at most. Default 50.
	Rate float64 `json:"rate,omitempty"`
	// Limit is how many in all at most. Default: as many as fit.
	Limit int64 `json:"limit,omitempty"`
	// NewKey gives the attempts of a retry another idempotency key.
	NewKey bool `json:"new_key,omitempty"`
	// Reason and By stand in the histories of the runs.
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// Bounds of what comes from outside.
const (
	rateDefault    = 50
	rateMin        = 0.01
	rateMax        = 1000 // what one partition applies while it does other things too
	reasonBytesMax = 1 << 10
	nameBytesMax   = 100 // so that command IDs and workflow IDs have room for more
)

// ErrSpec is wrapped by the errors of a Spec.
var ErrSpec = errors.New("job")

// UnmarshalJSON reads strictly, validates, and fills what has a default.
func (s *Spec) UnmarshalJSON(b []byte) error {
	type plain Spec
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var p plain
	if err := d.Decode(&p); err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more follows the JSON value", ErrSpec)
	}
	if p.Rate == 0 {
		p.Rate = rateDefault
	}
	*s = Spec(p)
	return s.Validate()
}

// Validate says what is wrong with a job: everything, each with how to fix it.
func (s *Spec) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrSpec}, args...)...))
	}
	letters := s.Operation.OfDeadLetters()
	if !slices.Contains(Operations(), s.Operation) {
		bad("operation is %q: use %s", s.Operation, names())
	}
	switch {
	case letters && s.Filter != "":
		bad("filter is of runs: choose dead letters by code, or leave both out for all of them")
	case !letters && s.Code != "":
		bad("code is of dead letters: choose runs by filter")
	case !letters && strings.TrimSpace(s.Filter) == "":
		bad("filter is missing: say which runs, as in a list; started <= now are all of them")
	}
	_, err := filter.Parse(s.Filter, time.Unix(0, 0)) // as it was written: the error says where
	if err == nil && strings.TrimSpace(s.Filter) != "" {
		_, err = s.others(time.Unix(0, 0)) // which is longer and deeper
	}
	if err != nil {
		bad("filter: %w", err)
	}
	if s.Rate != 0 && !(s.Rate >= rateMin && s.Rate <= rateMax) {
		bad("rate is %g: use %g to %d a second", s.Rate, rateMin, rateMax)
	}
	if s.Limit < 0 {
		bad("limit is %d: use 1 or more, or leave it out", s.Limit)
	}
	if s.NewKey && s.Operation != Retry {
		bad("new_key is of retry")
	}
	if len(s.Reason) > reasonBytesMax || !utf8.ValidString(s.Reason) {
		bad("reason is not UTF-8 or has more than %d bytes: shorten it", reasonBytesMax)
	}
	return errors.Join(errs...)
}

// others is Filter without the runs of jobs (J5).
func (s *Spec) others(now time.Time) (filter.Filter, error) {
	return filter.Parse(fmt.Sprintf("(%s) and not type in (%q, %q)", s.Filter, Type, PageType), now)
}

func names() string {
	var all []string
	for _, o := range Operations() {
		all = append(all, string(o))
	}
	return strings.Join(all, ", ")
}

// pace is how long n of them take.
func (s *Spec) pace(n int) time.Duration {
	return time.Duration(float64(n) / s.Rate * float64(time.Second))
}

// prefix is what the workflow IDs of jobs begin with.
const prefix = "job/"

// CheckName refuses a name that cannot be a job's: it is a part of command IDs.
func CheckName(name string) error {
	if name == "" || len(name) > nameBytesMax {
		return fmt.Errorf("the job's name has %d bytes: use 1 to %d", len(name), nameBytesMax)
	}
	for i := range len(name) {
		if name[i] <= 0x20 || name[i] > 0x7e || name[i] == '/' {
			return fmt.Errorf("the job's name %q has the byte %#x at position %d: use visible ASCII without a slash", name, name[i], i+1)
		}
	}
	return nil
}

// WorkflowID is the ID of the job of a name.
func WorkflowID(name string) string { return prefix + name }

// Name is the inverse of WorkflowID; the ID itself for another one.
func Name(workflowID string) string { return strings.TrimPrefix(workflowID, prefix) }

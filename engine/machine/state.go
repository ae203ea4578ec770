package machine

import (
	"errors"
	"slices"

	"github.com/odradek/odradek/record"
)

// State is one run: its row and everything open in it. Apply and the setters
// below are the only code that changes it, live, at restore and on a standby.
// Between two calls of Flush it remembers what changed.
type State struct {
	Run      record.RunRow
	Tasks    []record.TaskRow   // open, ascending by No
	Timers   []record.TimerRow  // open, ascending by No
	Signals  []record.SignalRow // buffered, ascending by No
	Children []record.ChildRow  // open and awaited, ascending by No
	Updates  []record.UpdateRow // not answered, ascending by No
	// Attributes are ascending by name; they are replaced, never written into.
	Attributes []record.Attribute
	Attempts   []record.AttemptRow // of open tasks that failed at least once
	Stuck      *record.StuckRow    // nil: the run goes on
	Inbox      []record.InboxRow   // waiting inputs, ascending by No; payloads included
	Summary    *record.SummaryRow  // set when the chunks are gone: Run is then its RunRow

	// Gone: the chunks are dropped, and with them everything derived from them. What
	// is left is the summary, if there is one.
	Gone bool

	commands []record.CommandRow // of this flush
	reused   []uint64            // numbers of the inbox whose row is another one since the last flush
	dropped  []record.CommandRow // rows that Drop removes
	flushed  flushed
}

// RowWriter takes the rows that a change of a State means. codec.RowEncoder makes
// bytes of them; the store's reader, a scan, never sees a row that is not made
// here. Rows that travel are chunks, attempts, stuck, inbox, summaries, dead
// letters, workflow types and ownership; the others are derived (F1).
type RowWriter interface {
	PutRun(r *record.RunRow)
	DeleteRun(r *record.RunRow)
	PutTask(r *record.RunRow, t *record.TaskRow)
	DeleteTask(r *record.RunRow, no uint64)
	PutTimer(r *record.RunRow, t *record.TimerRow)
	DeleteTimer(r *record.RunRow, no uint64)
	PutSignal(r *record.RunRow, s *record.SignalRow)
	DeleteSignal(r *record.RunRow, no uint64)
	PutChild(r *record.RunRow, c *record.ChildRow)
	DeleteChild(r *record.RunRow, no uint64)
	PutUpdate(r *record.RunRow, u *record.UpdateRow)
	DeleteUpdate(r *record.RunRow, no uint64)
	PutCommand(r *record.RunRow, c *record.CommandRow)
	DeleteCommand(r *record.RunRow, commandID string)
	PutDue(d record.Due)
	DeleteDue(d record.Due)
	PutListing(r *record.RunRow) // the visibility index: status, type, start
	DeleteListing(r *record.RunRow)

	PutAttributes(r *record.RunRow, as []record.Attribute)
	DeleteAttributes(r *record.RunRow)
	PutIndex(r *record.RunRow, a *record.Attribute) // of one attribute
	DeleteIndex(r *record.RunRow, a *record.Attribute)

	PutChunk(r *record.RunRow, no uint32, events []record.HistoryEvent)
	DeleteChunk(r *record.RunRow, no uint32)
	PutAttempt(r *record.RunRow, a *record.AttemptRow)
	DeleteAttempt(r *record.RunRow, task uint64)
	PutStuck(r *record.RunRow, s *record.StuckRow)
	DeleteStuck(r *record.RunRow)
	PutInbox(r *record.RunRow, i *record.InboxRow)
	DeleteInbox(r *record.RunRow, no uint64)
	PutSummary(s *record.SummaryRow)
	DeleteSummary(s *record.SummaryRow)
}

// View reads the settled rows of a partition. A call sees all batches that have
// settled and none that has not; the partition keeps the States of unsettled
// batches itself (P8). Returned values are the caller's.
type View interface {
	// Load gives the workflow's current run with everything open, or its summary;
	// nil if the workflow is unknown. The State counts as flushed.
	Load(workflowID string) (*State, error)
	// LoadRun is Load for one run, current or not; nil if it is not there.
	LoadRun(workflowID string, run record.RunID) (*State, error)
	// Chunk gives the history events of one chunk; ErrNoChunk if it is not there.
	Chunk(workflowID string, run record.RunID, no uint32) ([]record.HistoryEvent, error)
	// Command finds which event a command ID became.
	Command(workflowID string, run record.RunID, commandID string) (record.CommandRow, bool, error)
	// KnownCommand reports whether a command ID is one of any run's of the workflow,
	// dropped ones included as long as their summaries are there.
	KnownCommand(workflowID, commandID string) (bool, error)
	// Commands lists the run's command IDs.
	Commands(workflowID string, run record.RunID) ([]record.CommandRow, error)
	// DueAfter gives up to n entries of the due index that come after the entry
	// after, in order; the zero Due is before all.
	DueAfter(after record.Due, n int) ([]record.Due, error)
	// Ownership gives the partition's slots; false if it has never been started.
	Ownership() (record.OwnershipRow, bool, error)
	// TypeRows gives what operators have done to workflow types.
	TypeRows() ([]record.TypeRow, error)
	// DeadLetter gives one; false if it is not there.
	DeadLetter(o record.Origin) (record.DeadLetterRow, bool, error)
	// DeadLetters gives number and bytes of the dead-letter rows (F7).
	DeadLetters() (rows, bytes int64, err error)
}

// ErrNoChunk is returned by View.Chunk for a chunk that is not there.
var ErrNoChunk = errors.New("no such chunk")

// Restored makes a State of rows as they stand in a store.
func Restored(s State) *State {
	if s.Summary != nil && s.Run.Events == 0 {
		s.Run, s.Gone, s.Attributes = s.Summary.RunRow, true, s.Summary.Attributes
	}
	f := &s.flushed
	f.attributes = s.Attributes
	f.exists, f.run = !s.Gone, s.Run
	f.listed = f.exists || s.Summary != nil
	f.tasks, f.timers = slices.Clone(s.Tasks), slices.Clone(s.Timers)
	f.signals, f.attempts = slices.Clone(s.Signals), slices.Clone(s.Attempts)
	f.children, f.updates = slices.Clone(s.Children), slices.Clone(s.Updates)
	if s.Stuck != nil {
		row := *s.Stuck
		f.stuck = &row
	}
	for i := range s.Inbox {
		f.inbox = append(f.inbox, s.Inbox[i].No)
	}
	f.dues = s.dues(nil)
	return &s
}

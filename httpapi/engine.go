package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
)

// Errors that an Engine returns; it may wrap them.
var (
	// ErrNotOwner: this instance does not own the workflow's partition, or lost it
	// while it was asked. The API asks the owner, again and again until its time is up.
	ErrNotOwner = errors.New("this instance does not own the partition")
	// ErrNotFound: the owner knows no workflow with that ID.
	ErrNotFound = errors.New("no such workflow")
	// ErrHistoryGone: the run's chunks are dropped (F4), only its summary is left.
	ErrHistoryGone = errors.New("the history of the run is dropped")
	// ErrServiceUnknown: no workflow type uses a service of that name.
	ErrServiceUnknown = errors.New("no workflow type uses the service")
	// ErrNotOffered: the run is not in a state for what is asked.
	ErrNotOffered = errors.New("the run is not in a state for it")
)

// Engine is what the API needs of the instance that it runs in. All methods are
// called from many goroutines. Bytes that come out are not changed by the API;
// bytes that go in are not changed by it afterwards. What is read is settled: it
// can be rebuilt from Kafka. An error that is none of those above is logged and
// answered with 503, retryable.
type Engine interface {
	// Types are the workflow types that this binary has, sorted.
	Types() []string
	// Partitions is N, the number of partitions.
	Partitions() int32
	// Partition is where the workflow belongs, from 0 to N-1.
	Partition(workflowID string) int32
	// Owner says who owns a partition: this instance (self), or the one whose API is
	// at addr, a host:port. ok is false while nobody is known.
	Owner(partition int32) (addr string, self, ok bool)
	// Submit produces the command and answers when it has settled. command is
	// *record.Start, *record.Signal, *record.Operate ... with CommandID and Reply set. If ctx ends, the
	// command may still be applied later. ErrNotOwner.
	Submit(ctx context.Context, workflowID string, command record.Body) (record.Reply, error)
	// Run reads the workflow's current run. ErrNotOwner, ErrNotFound.
	Run(ctx context.Context, workflowID string) (Run, error)
	// History reads up to n history events of a run from number from on, in order,
	// each as public JSON (codec.HistoryJSON). Less than n means that there are no
	// more. ErrNotOwner, ErrNotFound (also if the workflow's current run is another
	// one and this one is unknown), ErrHistoryGone.
	History(ctx context.Context, workflowID string, run record.RunID, from uint64, n int) ([]json.RawMessage, error)
	// List reads up to q.Limit runs of one partition that this instance owns.
	// ErrNotOwner.
	List(ctx context.Context, partition int32, q ListQuery) ([]record.RunRow, error)
	// Query asks the workflow's current run; age is zero without stale. ErrNotOwner.
	Query(ctx context.Context, workflowID, name string, input []byte, stale bool) (a record.Answer, age time.Duration, err error)
	// Update reads an update by the command ID that it was sent with. ErrNotOwner,
	// ErrNotFound (also if the workflow has no such update), ErrHistoryGone.
	Update(ctx context.Context, workflowID, updateID string) (Update, error)
	// WaitUpdate returns nil when the update is answered, or never will be, at once if it
	// is so; ctx's error when ctx ends first. ErrNotOwner.
	WaitUpdate(ctx context.Context, workflowID, updateID string) error
	// Stack asks the code of the workflow's current run what it waits for; the outcome is
	// as Query's. ErrNotOwner.
	Stack(ctx context.Context, workflowID string) (Stack, record.Answer, error)
	// PreviewReset plans a reset of the workflow's current run to an event. The error is
	// an ErrNotOffered where it cannot be done. ErrNotOwner, ErrNotFound, ErrHistoryGone.
	PreviewReset(ctx context.Context, workflowID string, to uint64) (Preview, error)
	// CopyStore makes a copy of the store of a partition that this instance owns, and gives
	// its directory. ErrNotOwner; ErrNotOffered: there are too many.
	CopyStore(ctx context.Context, partition int32) (dir string, err error)
	// TypeRows reads what operators did to workflow types in a partition that this instance
	// owns. ErrNotOwner.
	TypeRows(ctx context.Context, partition int32) ([]record.TypeRow, error)
	// Services says what is known of the services that the workflow types use, by name. Any
	// instance can.
	Services(ctx context.Context) ([]Service, error)
	// OperateService pauses or resumes a service; false: it was so already. Any instance can.
	// ErrServiceUnknown.
	OperateService(ctx context.Context, service string, act record.ServiceAct) (changed bool, err error)
	// DeadLetters reads up to n dead letters of a partition that this instance owns, behind
	// one if it is not nil, with a code if it is not empty. ErrNotOwner.
	DeadLetters(ctx context.Context, partition int32, after *record.Origin, code string, n int) ([]record.DeadLetterRow, error)
	// DeadLetter reads one; false if it is not there. ErrNotOwner.
	DeadLetter(ctx context.Context, o record.Origin) (record.DeadLetterRow, bool, error)
	// Count counts the runs of one partition that this instance owns. ErrNotOwner.
	Count(ctx context.Context, partition int32, q ListQuery) (int64, error)
	// WaitClosed returns nil when the workflow's current run is closed, at once if it
	// is; ctx's error when ctx ends first. ErrNotOwner, ErrNotFound.
	WaitClosed(ctx context.Context, workflowID string) error
}

// Service is what is known of a service of tasks.
type Service struct {
	Name       string
	Partitions int32   // of its topic
	Members    int     // of its group; -1: not known
	Lag        []int64 // by partition: tasks behind what its group has committed, at most; -1: not known
	Trouble    string  // why something is not known
	Workers    []ServiceWorker
	Row        record.ServiceRow // what operators did
}

// ServiceWorker is what a worker of a service says of itself.
type ServiceWorker struct {
	Instance, Build string
	Age             time.Duration
	record.WorkerService
}

// Run is a workflow's current run as its rows have it.
type Run struct {
	Row      record.RunRow
	Tasks    []record.TaskRow
	Timers   []record.TimerRow
	Signals  []record.SignalRow
	Children []record.ChildRow
	Updates  []record.UpdateRow
	// Attributes are the search attributes, ascending by name.
	Attributes []record.Attribute
	Attempts   []record.AttemptRow // of open tasks that failed at least once
	Stuck      *record.StuckRow    // nil: the run goes on
	TypePaused *record.TypeAct     // nil: its type is not paused; of a run that is open
	Inbox      int                 // inputs that wait because the run is stuck (T4)
	Result     []byte              // of a completed run
	Failure    *record.Failure     // of a failed run
}

// Stack is what a run's code waits for.
type Stack struct {
	Details string
	Threads []Thread
}

// Thread is a thread of a run.
type Thread struct {
	For   string   // what it waits for
	Stack []string // the author's frames, innermost first
}

// Preview is what a reset would do.
type Preview struct {
	Run       record.RunID
	To        uint64           // the last event that counts
	SentAgain []record.TaskRow // other attempts go out, with the same keys
	Stopped   []record.TaskRow // open now, cancelled then
	Undone    []json.RawMessage
	Signals   int // given again
}

// Update is an update of a run.
type Update struct {
	Run     record.RunID
	Name    string
	Open    bool // not answered yet
	Result  []byte
	Failure *record.Failure // nil: it succeeded
}

// ListQuery asks for runs, newest start first. Runs with the same start come in
// ascending order of their run IDs, so that all partitions can be merged.
type ListQuery struct {
	Type   string        // empty: all
	Status record.Status // StatusNone: all
	Filter filter.Filter // with both of the above
	Limit  int
	After  ListPosition // the page starts behind it; zero: at the beginning
}

// ListPosition is a place in the order of a list.
type ListPosition struct {
	StartedAt record.Millis
	Run       record.RunID
}

// IsZero reports whether p is the beginning.
func (p ListPosition) IsZero() bool { return p == ListPosition{} }

// Before reports whether a run at p is listed before one at q.
func (p ListPosition) Before(q ListPosition) bool {
	if p.StartedAt != q.StartedAt {
		return p.StartedAt > q.StartedAt
	}
	return string(p.Run[:]) < string(q.Run[:])
}

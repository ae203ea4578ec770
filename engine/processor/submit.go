package processor

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// ErrCommandInFlight is returned by Submit while somebody waits for the same
// command ID at this instance.
var ErrCommandInFlight = errors.New("a command with this ID is being submitted")

// Submit makes a command of a body, *record.Start, *record.Signal,
// *record.Update, *record.Cancel, *record.Terminate or *record.Operate, and returns
// its outcome when it has settled (I1). The record gets a command ID if the body
// has none. After a takeover of the lane the command is sent again with the same
// ID, which the state answers. ErrNotOwner: ask the partition's owner, with the
// same command ID.
func (i *Instance) Submit(ctx context.Context, workflowID string, body record.Body) (record.Reply, error) {
	p := i.Partition(workflowID)
	switch b := body.(type) {
	case *record.Redrive:
		p = b.Origin.Partition
	case *record.OperateType:
		p = b.Partition
	}
	l := i.lane(p)
	if l == nil {
		return record.Reply{}, fmt.Errorf("workflow %q: partition %d: %w", workflowID, p, ErrNotOwner)
	}
	out, id, err := command(workflowID, body)
	if err != nil {
		return record.Reply{}, err
	}
	w, ok := l.waiters.command(id)
	if !ok {
		return record.Reply{}, fmt.Errorf("command %s: %w", id, ErrCommandInFlight)
	}
	defer l.waiters.forget(w)
	for sent := 1; ; sent++ {
		if err := i.produceCommand(ctx, l, w, p, &out); err != nil {
			return record.Reply{}, err
		}
		select {
		case r := <-w.reply:
			if sent > 1 {
				return l.firstOutcome(id, body, r), nil
			}
			return r, nil
		case <-w.again:
		case <-l.waiters.ended:
			return record.Reply{}, fmt.Errorf("workflow %q: partition %d: %w", workflowID, p, ErrNotOwner)
		case <-ctx.Done():
			return record.Reply{}, fmt.Errorf("workflow %q: command %s was sent, its outcome is not known yet: %w", workflowID, id, context.Cause(ctx))
		}
	}
}

// command encodes a body as a command whose sender waits.
func command(workflowID string, body record.Body) (record.Output, string, error) {
	switch b := body.(type) {
	case *record.Start:
		c := *b
		c.Reply = true
		if c.CommandID == "" {
			c.CommandID = uuid.NewString()
		}
		return codec.EncodeStart(workflowID, &c), c.CommandID, nil
	case *record.Signal:
		c := *b
		c.Reply = true
		if c.CommandID == "" {
			c.CommandID = uuid.NewString()
		}
		return codec.EncodeSignal(workflowID, &c), c.CommandID, nil
	case *record.Update:
		c := *b
		c.Reply = true
		if c.CommandID == "" {
			c.CommandID = uuid.NewString()
		}
		return codec.EncodeUpdate(workflowID, &c), c.CommandID, nil
	case *record.Cancel:
		c := *b
		c.Reply = true
		if c.CommandID == "" {
			c.CommandID = uuid.NewString()
		}
		return codec.EncodeCancel(workflowID, &c), c.CommandID, nil
	case *record.Terminate:
		c := *b
		c.Reply = true
		if c.CommandID == "" {
			c.CommandID = uuid.NewString()
		}
		return codec.EncodeTerminate(workflowID, &c), c.CommandID, nil
	case *record.Redrive:
		c := *b
		c.Reply = true
		if c.CommandID == "" {
			c.CommandID = uuid.NewString()
		}
		return codec.EncodeRedrive(&c), c.CommandID, nil
	case *record.OperateType:
		c := *b
		c.Reply = true
		if c.CommandID == "" {
			c.CommandID = uuid.NewString()
		}
		return codec.EncodeOperateType(&c), c.CommandID, nil
	case *record.Operate:
		c := *b
		c.Reply = true
		if c.CommandID == "" {
			c.CommandID = uuid.NewString()
		}
		return codec.EncodeOperate(workflowID, &c), c.CommandID, nil
	}
	switch body.(type) { // with a task's token; the sender has set CommandID and Reply
	case *record.TaskCompleted, *record.TaskFailed, *record.TaskBeat:
		out, id := codec.EncodeAnswer(workflowID, body)
		return out, id, nil
	}
	return record.Output{}, "", fmt.Errorf("a %T is not a command", body)
}

// firstOutcome makes of the answer to a repeated command the one that its first
// copy got: "repeated", if the command caused a history event, was "started" or
// "applied".
func (l *lane) firstOutcome(id string, body record.Body, r record.Reply) record.Reply {
	s := l.getStore()
	if r.Outcome != record.OutcomeRepeated || s == nil {
		return r
	}
	if _, ok, err := s.Command(r.WorkflowID, r.Run, id); err != nil || !ok {
		return r
	}
	if _, start := body.(*record.Start); start {
		r.Outcome = record.OutcomeStarted
	} else {
		r.Outcome = record.OutcomeApplied
	}
	return r
}

// produceCommand writes the command; the answer may come before the ack is seen.
func (i *Instance) produceCommand(ctx context.Context, l *lane, w *commandWaiter, p int32, out *record.Output) error {
	l.waiters.unsent(w)
	r := &kgo.Record{Topic: i.names.topics[record.TopicCommands], Partition: p, Key: out.Key, Value: out.Value}
	for _, h := range out.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	acked := make(chan error, 1)
	i.plain.Produce(ctx, r, func(r *kgo.Record, err error) {
		if err == nil {
			l.waiters.sent(w, r.Offset)
		}
		acked <- err
	})
	select {
	case err := <-acked:
		if err != nil {
			return fmt.Errorf("produce to %s/%d: %w", r.Topic, p, err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// WaitClosed returns nil when no run of the workflow is open in the settled state:
// at once, or when its close settles. ErrNotOwner: the lane is, or went, elsewhere.
func (i *Instance) WaitClosed(ctx context.Context, workflowID string) error {
	p := i.Partition(workflowID)
	for {
		l := i.lane(p)
		if l == nil {
			return fmt.Errorf("workflow %q: partition %d: %w", workflowID, p, ErrNotOwner)
		}
		ch, forget := l.waiters.closing(workflowID)
		open, err := l.isOpen(workflowID)
		if err != nil || !open {
			forget()
			return err
		}
		select {
		case <-ch:
		case <-l.waiters.ended:
			forget()
			return fmt.Errorf("workflow %q: partition %d: %w", workflowID, p, ErrNotOwner)
		case <-ctx.Done():
			forget()
			return context.Cause(ctx)
		}
	}
}

// isOpen reports whether the workflow's run is open. While the lane takes over it
// counts as open: whoever waits is told when that is done.
func (l *lane) isOpen(workflowID string) (bool, error) {
	s := l.getStore()
	if s == nil || !l.progress.running() {
		return true, nil
	}
	state, err := s.Load(workflowID)
	if err != nil {
		if l.getStore() != s {
			return true, nil
		}
		return false, fmt.Errorf("load workflow %q: %w", workflowID, err)
	}
	return state != nil && !state.Run.Status.Closed(), nil
}

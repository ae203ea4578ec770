package partition

import (
	"fmt"
	"maps"
	"math"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// Dead letters are rows: an operator lets a record be taken in once more, or forgets it. A
// run that has failed at a task is listed among them; its retry is the run's.

// keepDeadLetter writes a dead letter's row, within their bounds (F7).
func (p *Partition) keepDeadLetter(row *record.DeadLetterRow) {
	size := deadLetterBytes(row)
	if p.dlRows >= deadLettersMax || p.dlBytes+size > deadLetterBytesMax {
		return
	}
	p.dlRows, p.dlBytes = p.dlRows+1, p.dlBytes+size
	p.rows.PutDeadLetter(row)
	p.noteDeadLetter(row)
}

func (p *Partition) forgetDeadLetter(row *record.DeadLetterRow) {
	p.dlRows, p.dlBytes = p.dlRows-1, p.dlBytes-deadLetterBytes(row)
	p.rows.DeleteDeadLetter(row.Origin)
	p.noteDeadLetter(&record.DeadLetterRow{Origin: row.Origin})
}

func deadLetterBytes(row *record.DeadLetterRow) int64 {
	return int64(len(row.Raw.Key) + len(row.Raw.Value))
}

// deadLetterAt names a row without what two reads of it may differ in.
type deadLetterAt struct {
	topic     record.Topic
	partition int32
	offset    int64
}

func atOf(o record.Origin) deadLetterAt { return deadLetterAt{o.Topic, o.Partition, o.Offset} }

// noted is a dead letter as a batch in flight leaves it; without a code it is gone (P8).
type noted struct {
	row record.DeadLetterRow
	seq uint64
}

func (p *Partition) noteDeadLetter(row *record.DeadLetterRow) {
	if p.dlNoted == nil {
		p.dlNoted = map[deadLetterAt]noted{}
	}
	p.dlNoted[atOf(row.Origin)] = noted{*row, p.seq}
}

// deadLettersSettled forgets what the store has by now.
func (p *Partition) deadLettersSettled() {
	maps.DeleteFunc(p.dlNoted, func(_ deadLetterAt, n noted) bool { return n.seq <= p.settled })
}

// findDeadLetter finds one as it is after all batches in flight.
func (p *Partition) findDeadLetter(o record.Origin) (record.DeadLetterRow, bool, error) {
	if n, ok := p.dlNoted[atOf(o)]; ok {
		return n.row, n.row.Code != "", nil
	}
	row, ok, err := p.view.DeadLetter(o)
	if err != nil {
		return row, false, fmt.Errorf("read dead letter %s: %w", record.DeadLetterID(o), err)
	}
	return row, ok, nil
}

// redrive takes the record of a dead letter in once more, or forgets it. What cannot be
// processed again is a dead letter again.
func (p *Partition) redrive(r *record.Record, c *record.Redrive) error {
	answer := func(got machine.Received) error {
		p.answer(r, c.CommandID, c.Reply, record.RunID{}, got)
		return nil
	}
	row, ok, err := p.findDeadLetter(c.Origin)
	switch {
	case err != nil:
		return err
	case !ok:
		return answer(machine.Received{Outcome: record.OutcomeNoDeadLetter, Detail: fmt.Sprintf("partition %d has no dead letter %s: it was taken in or discarded, or was never there", p.cfg.Partition, record.DeadLetterID(c.Origin))})
	case c.Discard:
		p.forgetDeadLetter(&row)
		return answer(applied)
	case row.Code == record.CodeGivenUp:
		return p.retryGivenUp(r, c, &row)
	case c.Edited == nil && isCut(&row):
		return answer(notOffered("dead letter %s lacks a part of its record, which was too large to keep: give the record anew, or discard it", row.ID()))
	}
	raw := row.Raw
	if c.Edited != nil {
		raw = *c.Edited
	}
	if row.Code == codec.CodeTaskUnreadable {
		return answer(p.sendTaskAgain(&row, &raw))
	}
	p.forgetDeadLetter(&row)
	again := codec.Decode(codec.KafkaRecord{Topic: row.Origin.Topic, Partition: row.Origin.Partition, Offset: row.Origin.Offset,
		LeaderEpoch: row.Origin.LeaderEpoch, Timestamp: row.Origin.Timestamp, Key: raw.Key, Value: raw.Value, Headers: raw.Headers})
	if err := p.Step(&again); err != nil {
		return err
	}
	return answer(applied)
}

// sendTaskAgain gives the workers of a service a record once more that one of them could not
// read.
func (p *Partition) sendTaskAgain(row *record.DeadLetterRow, raw *record.Raw) machine.Received {
	at, err := codec.TaskPlaceOf(row.Raw.Headers)
	if err != nil {
		return notOffered("dead letter %s does not say where it lay: %v", row.ID(), err)
	}
	if r := p.deliverable(at.Service); r != nil {
		return notOffered("dead letter %s cannot go to service %s again: %s", row.ID(), at.Service, r.Detail)
	}
	at.Partition %= p.cfg.Services[at.Service]
	p.forgetDeadLetter(row)
	p.output(codec.EncodeTaskAgain(at, raw))
	return applied
}

// retryGivenUp retries the run that the dead letter stands for.
func (p *Partition) retryGivenUp(r *record.Record, c *record.Redrive, row *record.DeadLetterRow) error {
	e, err := p.load(string(row.Raw.Key))
	if err != nil {
		return err
	}
	return p.operate(e, r, &record.Operate{Op: record.OperateRetry, CommandID: c.CommandID, Reason: c.Reason, By: c.By, Reply: c.Reply})
}

func isCut(row *record.DeadLetterRow) bool {
	for i := range row.Raw.Headers {
		if row.Raw.Headers[i].Key == codec.HeaderDeadLetterCut {
			return true
		}
	}
	return false
}

// givenUpOrigin names the dead letter of a run that has failed: a place that no record has.
func (p *Partition) givenUpOrigin(run record.RunID) record.Origin {
	h := codec.Hash(run[:])
	return record.Origin{Topic: record.TopicHistory, Partition: p.cfg.Partition, Offset: int64(h & math.MaxInt64), LeaderEpoch: -1}
}

// givenUp lists a run among the dead letters that a task's failure has just closed. Half of
// the places are left to records, which are nowhere else; a run is found by its status too.
func (p *Partition) givenUp(e *entry, b *record.HistoryTaskFailed) {
	r := &e.state.Run
	if r.Status != record.StatusFailed && r.Status != record.StatusCancelled || p.dlRows >= deadLettersMax/2 {
		return
	}
	row := record.DeadLetterRow{
		Origin: p.givenUpOrigin(r.Run), Code: record.CodeGivenUp, At: p.now,
		Reason: fmt.Sprintf("run %s failed at task %d: %s", r.Run, b.Task, b.Failure.Error()),
		Raw: record.Raw{Key: []byte(r.WorkflowID), Headers: []record.Header{
			{Key: codec.HeaderType, Value: []byte(r.Type)}, {Key: codec.HeaderTask, Value: []byte(record.TaskID{Run: r.Run, No: b.Task}.String())},
		}},
	}
	row.Origin.Timestamp = p.now
	p.keepDeadLetter(&row)
	p.batch.Counts.DeadLetters++
}

// takenUp removes a run from the dead letters: it goes on, or is forgotten.
func (p *Partition) takenUp(run record.RunID) error {
	row, ok, err := p.findDeadLetter(p.givenUpOrigin(run))
	if ok {
		p.forgetDeadLetter(&row)
	}
	return err
}

package codec

import (
	"encoding/json"

	"github.com/odradek/odradek/record"
)

// EncodeStart makes the record of a start. The caller sets the partition. Input and
// payload of one that gives the run something are JSON or empty.
func EncodeStart(workflowID string, s *record.Start) record.Output {
	w := newHeaders(6, len(workflowID)+len(s.Type)+len(s.CommandID)+32)
	key := w.key(workflowID)
	w.text(HeaderType, s.Type)
	if s.Reuse != record.ReuseNever {
		w.text(HeaderReuse, s.Reuse.String())
	}
	value := s.Input
	if s.Signal != nil || s.Update != nil {
		both := startWith{Input: s.Input}
		w.text(HeaderCommand, CommandStartWith)
		if s.Signal != nil {
			w.text(HeaderSignal, s.Signal.Name)
			both.Payload = s.Signal.Payload
		} else {
			w.text(HeaderUpdate, s.Update.Name)
			both.Payload = s.Update.Payload
		}
		var err error
		both.Input, _ = PayloadJSON(both.Input)
		both.Payload, _ = PayloadJSON(both.Payload)
		if value, err = json.Marshal(both); err != nil {
			panic("codec: a start-with of what is not JSON: " + err.Error())
		}
	}
	return command(&w, workflowID, key, s.CommandID, s.Reply, value)
}

// EncodeUpdate makes the record of an update. The caller sets the partition.
func EncodeUpdate(workflowID string, u *record.Update) record.Output {
	w := newHeaders(3, len(workflowID)+len(u.Name)+len(u.CommandID)+1)
	key := w.key(workflowID)
	w.text(HeaderUpdate, u.Name)
	return command(&w, workflowID, key, u.CommandID, u.Reply, u.Payload)
}

// EncodeSignal makes the record of a signal. The caller sets the partition.
func EncodeSignal(workflowID string, s *record.Signal) record.Output {
	w := newHeaders(3, len(workflowID)+len(s.Name)+len(s.CommandID)+1)
	key := w.key(workflowID)
	w.text(HeaderSignal, s.Name)
	return command(&w, workflowID, key, s.CommandID, s.Reply, s.Payload)
}

// EncodeCancel makes the record of a cancel. The caller sets the partition.
func EncodeCancel(workflowID string, c *record.Cancel) record.Output {
	return ending(workflowID, CommandCancel, c.CommandID, c.Run, c.Reason, c.By, c.Reply)
}

// EncodeTerminate makes the record of a terminate. The caller sets the partition.
func EncodeTerminate(workflowID string, c *record.Terminate) record.Output {
	return ending(workflowID, CommandTerminate, c.CommandID, c.Run, c.Reason, c.By, c.Reply)
}

// EncodeOperate makes the record of an operator's command. The caller sets the partition.
func EncodeOperate(workflowID string, c *record.Operate) record.Output {
	out := ending(workflowID, c.Op.String(), c.CommandID, c.Run, c.Reason, c.By, c.Reply)
	more := newHeaders(3, 41)
	if c.To > 0 {
		more.number(HeaderTo, c.To)
	}
	if c.Task > 0 {
		more.number(HeaderNo, c.Task)
	}
	if c.NewKey {
		more.text(HeaderNewKey, "1")
	}
	out.Headers = append(out.Headers, more.hs...)
	return out
}

// EncodeOperateType makes the record of a command about a workflow type. The caller sets the
// partition: its runs there wait, or go on.
func EncodeOperateType(c *record.OperateType) record.Output {
	cmd := CommandPauseType
	if c.Op == record.OperateResume {
		cmd = CommandResumeType
	}
	out := ending(c.Type, cmd, c.CommandID, record.RunID{}, c.Reason, c.By, c.Reply)
	more := newHeaders(1, len(c.Type))
	more.text(HeaderType, c.Type)
	out.Headers = append(out.Headers, more.hs...)
	return out
}

// RedriveKey is the key of a command about a dead letter: it is for a partition, not for a
// workflow.
const RedriveKey = "dead-letter"

// edited is the record in place of a dead letter's, as the command's value.
type edited struct {
	Key     string         `json:"key"`
	Value   []byte         `json:"value"` // base64
	Headers []editedHeader `json:"headers,omitempty"`
}

type editedHeader struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// EncodeRedrive makes the record of a command about a dead letter. The caller sets the
// partition: that of the dead letter.
func EncodeRedrive(c *record.Redrive) record.Output {
	out := ending(RedriveKey, CommandRedrive, c.CommandID, record.RunID{}, c.Reason, c.By, c.Reply)
	more := newHeaders(2, 50)
	more.text(HeaderDeadLetterOrigin, record.DeadLetterID(c.Origin))
	if c.Discard {
		more.text(HeaderDiscard, "1")
	}
	out.Headers = append(out.Headers, more.hs...)
	if c.Edited != nil {
		e := edited{Key: string(c.Edited.Key), Value: c.Edited.Value}
		for _, h := range c.Edited.Headers {
			e.Headers = append(e.Headers, editedHeader(h))
		}
		out.Value, _ = json.Marshal(e) // plain fields: cannot fail
	}
	return out
}

func ending(workflowID, cmd, commandID string, run record.RunID, reason, by string, reply bool) record.Output {
	w := newHeaders(6, len(workflowID)+len(cmd)+len(commandID)+record.RunIDLen+len(reason)+len(by)+1)
	key := w.key(workflowID)
	w.text(HeaderCommand, cmd)
	if !run.IsZero() {
		w.text(HeaderRun, run.String())
	}
	if reason != "" {
		w.text(HeaderReason, reason)
	}
	if by != "" {
		w.text(HeaderBy, by)
	}
	return command(&w, workflowID, key, commandID, reply, nil)
}

func command(w *headerWriter, workflowID string, key []byte, commandID string, reply bool, value []byte) record.Output {
	if commandID != "" {
		w.text(HeaderCommandID, commandID)
	}
	if reply {
		w.text(HeaderReply, "1")
	}
	value = w.protoValue(value)
	return record.Output{Topic: record.TopicCommands, Key: key, Value: value, Headers: w.hs, WorkflowID: workflowID}
}

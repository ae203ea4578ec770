package codec

import "github.com/odradek/odradek/record"

// EncodeStart makes the record of a start. The caller sets the partition.
func EncodeStart(workflowID string, s *record.Start) record.Output {
	w := newHeaders(3, len(workflowID)+len(s.Type)+len(s.CommandID)+1)
	key := w.key(workflowID)
	w.text(HeaderType, s.Type)
	return command(&w, workflowID, key, s.CommandID, s.Reply, s.Input)
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
	return record.Output{Topic: record.TopicCommands, Key: key, Value: value, Headers: w.hs, WorkflowID: workflowID}
}

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

func command(w *headerWriter, workflowID string, key []byte, commandID string, reply bool, value []byte) record.Output {
	if commandID != "" {
		w.text(HeaderCommandID, commandID)
	}
	if reply {
		w.text(HeaderReply, "1")
	}
	return record.Output{Topic: record.TopicCommands, Key: key, Value: value, Headers: w.hs, WorkflowID: workflowID}
}

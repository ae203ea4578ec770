package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/odradek/odradek/record"
)

// HistoryFile is a run's history as a file: one line of JSON that names the run, and
// behind it one chunk with all of its events.
type HistoryFile struct {
	WorkflowID string
	Run        record.RunID
	Type       string
	Version    uint32
	Events     []record.HistoryEvent // from number 1 on, dense
}

type historyHead struct {
	WorkflowID string `json:"workflow_id"`
	Run        string `json:"run_id"`
	Type       string `json:"type"`
	Version    uint32 `json:"version"`
}

// ErrHistoryFile is wrapped by DecodeHistoryFile.
var ErrHistoryFile = errors.New("not a history file")

// EncodeHistoryFile makes the file. There is at least one event.
func EncodeHistoryFile(f HistoryFile) ([]byte, error) {
	head, err := json.Marshal(historyHead{f.WorkflowID, f.Run.String(), f.Type, f.Version})
	if err != nil {
		return nil, fmt.Errorf("history file: %w", err)
	}
	return AppendChunk(append(head, '\n'), f.Events), nil
}

// DecodeHistoryFile is the inverse of EncodeHistoryFile; payloads alias b.
func DecodeHistoryFile(b []byte) (f HistoryFile, err error) {
	line, chunk, ok := bytes.Cut(b, []byte("\n"))
	var head historyHead
	if !ok || json.Unmarshal(line, &head) != nil {
		return f, fmt.Errorf("%w: its first line is no JSON that names a run", ErrHistoryFile)
	}
	f.WorkflowID, f.Type, f.Version = head.WorkflowID, head.Type, head.Version
	if f.Run, err = record.ParseRunID(head.Run); err != nil {
		return f, fmt.Errorf("%w: %w", ErrHistoryFile, err)
	}
	if f.Events, err = DecodeChunk(chunk); err != nil {
		return f, fmt.Errorf("%w: %w", ErrHistoryFile, err)
	}
	if f.Events[0].No != 1 || f.Events[0].Body.HistoryKind() != record.KindRunStarted {
		return f, fmt.Errorf("%w: it begins with event %d, %s", ErrHistoryFile, f.Events[0].No, f.Events[0].Body.HistoryKind())
	}
	return f, nil
}

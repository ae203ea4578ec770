package main

import (
	"crypto/rand"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// rawRecords are the records of one workflow as the engine writes them, made once.
// The raw loop writes copies with other keys: keys are as long as workflowID makes
// them, and no reader of the raw loop looks at the IDs inside headers and values.
type rawRecords struct {
	run     record.RunID
	command kgo.Record   // client: start
	tasks   []kgo.Record // engine: after the start and each event but the last; none of local ones
	chunks  []kgo.Record // engine: of each turn
	started kgo.Record   // engine: history
	closed  kgo.Record   // engine: history
	at      kgo.Record   // engine: positions row of a batch
}

// templates are records of many workflows, so that IDs differ from record to record
// as an engine's do: clients compress.
type templates struct {
	sets []*rawRecords
	next atomic.Uint64
}

func newTemplates(namespace string, w workload) *templates {
	t, payloads := &templates{}, newPayloads()
	for n := range 1024 {
		t.sets = append(t.sets, newRawRecords(namespace, w, n, payloads.bytes))
	}
	return t
}

func (t *templates) any() *rawRecords { return t.sets[t.next.Add(1)%uint64(len(t.sets))] }

// retention is how long a closed run is kept, as the engine's default has it: it is
// written into the closing event.
const retention = 7 * 24 * time.Hour

func newRawRecords(namespace string, w workload, n int, payload func() []byte) *rawRecords {
	names := topology.Names{Namespace: namespace}
	id, now := workflowID(0), record.MillisOf(time.Now())
	origin := record.Origin{Topic: record.TopicCommands, Offset: int64(n)}
	run := record.RunRow{WorkflowID: id, Run: record.DeriveRunID(id, origin, now), Type: w.name, Version: 1}
	commandID := rand.Text()
	r := &rawRecords{run: run.Run}
	r.command = kafkaRecord(names, codec.EncodeStart(id, &record.Start{CommandID: commandID, Type: w.name, Input: payload()}))

	var enc codec.RowEncoder
	var input record.HistoryBody = &record.RunStarted{Type: w.name, Version: run.Version, Input: payload(), CommandID: commandID}
	no := uint64(1)
	for turn := range w.steps + 1 {
		var decision record.HistoryBody = &record.RunCompleted{Result: payload(), Retain: retention}
		switch {
		case turn < w.steps && w.local:
			input := payload()
			decision = &record.LocalScheduled{Name: operation, Input: input, InputHash: codec.Hash(input)}
		case turn < w.steps:
			decision = &record.TaskScheduled{Service: service, Operation: operation, Input: payload()}
		}
		events := []record.HistoryEvent{{No: no, At: now, Body: input}, {No: no + 1, At: now, Body: decision}}
		enc.PutChunk(&run, uint32(turn+1), events)
		r.chunks = append(r.chunks, kgo.Record{Topic: names.Topic(record.TopicChangelog), Value: enc.Rows[turn].Value})
		if turn == 0 {
			r.started = kafkaRecord(names, codec.EncodeHistory(namespace, &run, events[0]))
		}
		if turn == w.steps {
			r.closed = kafkaRecord(names, codec.EncodeHistory(namespace, &run, events[1]))
		}
		if turn < w.steps {
			task := record.TaskRow{No: no + 1, Service: service, Operation: operation}
			if !w.local {
				r.tasks = append(r.tasks, kafkaRecord(names, codec.EncodeTask(&run, &task, &record.AttemptRow{Open: 1}, payload())))
			}
			input = &record.HistoryTaskCompleted{Task: task.No, Result: payload()}
		}
		no += 2
	}
	enc.PutPositions(record.Positions{
		Commands: record.Position{Offset: 1 << 20}, Events: record.Position{Offset: 1 << 20}, Internal: record.Position{}, Now: now,
	})
	row := enc.Rows[len(enc.Rows)-1]
	r.at = kgo.Record{Topic: names.Topic(record.TopicChangelog), Key: row.Key, Value: row.Value}
	return r
}

func kafkaRecord(names topology.Names, o record.Output) kgo.Record {
	k := kgo.Record{Topic: names.Topic(o.Topic), Key: o.Key, Value: o.Value}
	if o.Topic == record.TopicTasks {
		k.Topic = names.Tasks(o.Service)
	}
	for _, h := range o.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	return k
}

// of gives the record for a workflow: copies of a template share all but the key.
func of(template *kgo.Record, key []byte, partition int32) *kgo.Record {
	r := *template
	r.Key, r.Partition = key, partition
	return &r
}

// turnOf says which task an event answers, from 0: it is the number of its
// TaskScheduled, 2, 4 or 6, the last byte of the task's ID.
func turnOf(headers []kgo.RecordHeader) int {
	for i := range headers {
		if headers[i].Key == codec.HeaderTask {
			v := headers[i].Value
			return int(v[len(v)-1]-'0')/2 - 1
		}
	}
	return -1
}

// completed is the value of the header that says what became of a task.
var completed = []byte(codec.EventCompleted)

// answer are the headers of the event that answers a task.
func answer(task []kgo.RecordHeader) []kgo.RecordHeader {
	hs := make([]kgo.RecordHeader, 1, 3)
	hs[0] = kgo.RecordHeader{Key: codec.HeaderEvent, Value: completed}
	for i := range task {
		if task[i].Key == codec.HeaderTask || task[i].Key == codec.HeaderAttempt {
			hs = append(hs, task[i])
		}
	}
	return hs
}

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// KafkaConfig is how to reach the topics of a deployment.
type KafkaConfig struct {
	// Namespace is the first part of the topics' names.
	Namespace string
	// Options are addresses and security of the brokers.
	Options []kgo.Opt
	// Table says which partition a workflow ID belongs to. Default: read from
	// <ns>.control when the client is made. An old table costs a forward, nothing else.
	Table *topology.Table
	// NoResults: this client never awaits; it needs no right to read the history.
	NoResults bool
	// Logger gets what happens in the background. Default: nothing.
	Logger *slog.Logger
}

// Kafka writes commands to the commands topic and takes results from the history
// topic. It is a Client.
type Kafka struct {
	cfg    KafkaConfig
	names  topology.Names
	table  *topology.Table
	cl     *kgo.Client
	reader *reader // nil with NoResults
}

var _ Client = (*Kafka)(nil)

// NewKafka connects, reads the slot table, and starts the reader of closing events
// at the end of the history topic.
func NewKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	if err := topology.CheckName("namespace", cfg.Namespace); err != nil {
		return nil, &Error{Code: api.CodeRequestInvalid, Detail: err.Error(), cause: err}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Kafka{cfg: cfg, names: topology.Names{Namespace: cfg.Namespace}, table: cfg.Table}
	// No linger: a start is awaited, and under load records come together anyway.
	opts := append([]kgo.Opt{kgo.ClientID("odradek-client"), kgo.ProducerLinger(0)}, cfg.Options...)
	cl, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return nil, &Error{Code: api.CodeRequestInvalid, Detail: "the Kafka options do not fit: " + err.Error(), cause: err}
	}
	k.cl = cl
	if k.table == nil {
		if k.table, err = kafka.ReadTable(ctx, cl, k.names); err != nil {
			cl.Close()
			return nil, brokerError("read where workflows belong", err)
		}
	}
	if !cfg.NoResults {
		if k.reader, err = newReader(ctx, opts, cl, k.names, cfg.Logger); err != nil {
			cl.Close()
			return nil, brokerError("find the end of the history", err)
		}
	}
	return k, nil
}

// Close ends the reader and the connections. What is not acknowledged yet may or
// may not be written.
func (k *Kafka) Close() {
	if k.reader != nil {
		k.reader.close()
	}
	k.cl.Close()
}

// Start returns when the brokers have the command. If it is refused later, Result
// says so.
func (k *Kafka) Start(ctx context.Context, s StartRequest) (Run, error) {
	id, err := command(s.WorkflowID, s.CommandID, s.Input)
	if err != nil {
		return nil, err
	}
	if s.Type == "" {
		return nil, &Error{Code: api.CodeRequestInvalid, Detail: fmt.Sprintf("the start of workflow %q names no type", s.WorkflowID)}
	}
	start := &record.Start{CommandID: id, Type: s.Type, Input: s.Input, Reuse: s.Reuse}
	switch {
	case (s.Signal != "" || s.Update != "") && !(json.Valid(asJSON(s.Input)) && json.Valid(asJSON(s.Payload))):
		return nil, &Error{Code: api.CodeRequestInvalid, Detail: "input and payload are JSON in a start that gives the run something"}
	case s.Signal != "":
		start.Signal = &record.Signal{Name: s.Signal, Payload: s.Payload}
	case s.Update != "":
		start.Update = &record.Update{Name: s.Update, Payload: s.Payload}
	}
	run := k.await(s.WorkflowID, id) // before it can close
	if err := k.produce(ctx, codec.EncodeStart(s.WorkflowID, start)); err != nil {
		return nil, err
	}
	return run, nil
}

// Cancel returns when the brokers have the command.
func (k *Kafka) Cancel(ctx context.Context, e EndRequest) error {
	id, run, err := ending(e)
	if err != nil {
		return err
	}
	return k.produce(ctx, codec.EncodeCancel(e.WorkflowID, &record.Cancel{CommandID: id, Run: run, Reason: e.Reason}))
}

// Terminate returns when the brokers have the command.
func (k *Kafka) Terminate(ctx context.Context, e EndRequest) error {
	id, run, err := ending(e)
	if err != nil {
		return err
	}
	return k.produce(ctx, codec.EncodeTerminate(e.WorkflowID, &record.Terminate{CommandID: id, Run: run, Reason: e.Reason}))
}

func ending(e EndRequest) (id string, run record.RunID, err error) {
	if id, err = command(e.WorkflowID, e.CommandID, nil); err != nil {
		return "", run, err
	}
	if e.RunID != "" {
		if run, err = record.ParseRunID(e.RunID); err != nil {
			return "", run, &Error{Code: api.CodeRequestInvalid, Detail: err.Error()}
		}
	}
	return id, run, nil
}

// Signal returns when the brokers have the command.
func (k *Kafka) Signal(ctx context.Context, s SignalRequest) error {
	id, err := command(s.WorkflowID, s.CommandID, s.Payload)
	if err != nil {
		return err
	}
	if s.Name == "" {
		return &Error{Code: api.CodeRequestInvalid, Detail: fmt.Sprintf("the signal for workflow %q has no name", s.WorkflowID)}
	}
	return k.produce(ctx, codec.EncodeSignal(s.WorkflowID, &record.Signal{CommandID: id, Name: s.Name, Payload: s.Payload}))
}

// Attach sees the close of a run that closes from now on.
func (k *Kafka) Attach(_ context.Context, workflowID string) (Run, error) {
	if err := record.CheckWorkflowID(workflowID); err != nil {
		return nil, &Error{Code: api.CodeWorkflowIDInvalid, Detail: err.Error(), cause: err}
	}
	return k.await(workflowID, ""), nil
}

func (k *Kafka) await(workflowID, commandID string) Run {
	if k.reader == nil {
		return noResult(workflowID)
	}
	return k.reader.await(workflowID, commandID)
}

// produce writes one record to where its workflow belongs. kgo's idempotence makes
// its own repeats one; ours have the command ID.
func (k *Kafka) produce(ctx context.Context, o record.Output) error {
	r := &kgo.Record{
		Topic: k.names.Topic(o.Topic), Partition: k.table.Partition(o.WorkflowID), Key: o.Key, Value: o.Value,
		Headers: make([]kgo.RecordHeader, len(o.Headers)),
	}
	for i, h := range o.Headers {
		r.Headers[i] = kgo.RecordHeader(h)
	}
	err := k.cl.ProduceSync(ctx, r).FirstErr()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("write a command for workflow %q: %w", o.WorkflowID, ctx.Err())
	case errors.Is(err, kgo.ErrClientClosed):
		return &Error{Code: CodeClosed, Detail: "the client is closed", cause: err}
	}
	return brokerError(fmt.Sprintf("write a command for workflow %q", o.WorkflowID), err)
}

func brokerError(what string, err error) *Error {
	return &Error{Code: CodeUnreachable, Retryable: true, Detail: what + ": " + err.Error(), cause: err}
}

// noResult is the handle of a client with NoResults.
type noResult string

func (n noResult) WorkflowID() string { return string(n) }

func (n noResult) Result(context.Context) (Result, error) {
	return Result{}, &Error{Code: api.CodeRequestInvalid, Detail: "the client was made with NoResults: it awaits nothing"}
}

package client_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// message is a Kafka record for the CloudEvents SDK, by the Kafka protocol binding
// of CloudEvents, section 3.2: binary content mode.
type message struct{ r *kgo.Record }

var versions = spec.WithPrefix("ce_")

func (m message) header(name string) (value []byte) {
	for _, h := range m.r.Headers {
		if strings.EqualFold(h.Key, name) {
			value = h.Value
		}
	}
	return value
}

func (m message) ReadEncoding() binding.Encoding {
	if versions.Version(string(m.header("ce_specversion"))) == nil {
		return binding.EncodingUnknown
	}
	return binding.EncodingBinary
}

func (m message) ReadStructured(context.Context, binding.StructuredWriter) error {
	return binding.ErrNotStructured
}

func (m message) ReadBinary(_ context.Context, w binding.BinaryWriter) error {
	version := versions.Version(string(m.header("ce_specversion")))
	for _, h := range m.r.Headers {
		name := strings.ToLower(h.Key)
		switch attr := version.Attribute(name); {
		case attr != nil:
			if err := w.SetAttribute(attr, string(h.Value)); err != nil {
				return err
			}
		case name == "content-type":
			if err := w.SetAttribute(version.AttributeFromKind(spec.DataContentType), string(h.Value)); err != nil {
				return err
			}
		case strings.HasPrefix(name, "ce_"):
			if err := w.SetExtension(strings.TrimPrefix(name, "ce_"), string(h.Value)); err != nil {
				return err
			}
		}
	}
	return w.SetData(strings.NewReader(string(m.r.Value)))
}

func (m message) GetAttribute(k spec.Kind) (spec.Attribute, any) {
	version := versions.Version(string(m.header("ce_specversion")))
	attr := version.AttributeFromKind(k)
	if attr == nil {
		return nil, nil
	}
	return attr, string(m.header(attr.PrefixedName()))
}

func (m message) GetExtension(name string) any { return string(m.header("ce_" + name)) }
func (m message) Finish(error) error           { return nil }

// TestHistoryIsCloudEvents reads what engines write to <ns>.history with the
// CloudEvents SDK, from a broker.
func TestHistoryIsCloudEvents(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	at := time.Date(2026, 3, 1, 12, 30, 0, 7_000_000, time.UTC)
	run := record.RunRow{WorkflowID: "Kunde 7/ü", Run: record.DeriveRunID("Kunde 7/ü", record.Origin{}, record.MillisOf(at)), Type: "billing.monthly"}
	bodies := []record.HistoryBody{
		&record.RunStarted{Type: "billing.monthly", Version: 3, Input: []byte(`{"customer":7}`), CommandID: "c-1"},
		&record.TaskScheduled{Service: "payment", Operation: "request", Input: []byte(`{}`)},
		&record.HistoryTaskFailed{Task: 2, Failure: record.Failure{Kind: record.FailureHTTP, HTTPStatus: 402, Code: "card_declined"}},
		&record.RunCompleted{Result: []byte(`{"months":12}`), Retain: time.Hour},
		&record.RunFailed{Failure: record.Failure{Kind: record.FailureApplication, Message: "no"}},
	}
	want := []string{"run_started", "task_scheduled", "task_failed", "run_completed", "run_failed"}
	for i, body := range bodies {
		o := codec.EncodeHistory("t", &run, record.HistoryEvent{No: uint64(i + 1), At: record.MillisOf(at), Body: body})
		o.Partition = 2
		b.write(t, o)
	}
	ctx := guard(t)
	reader, err := kgo.NewClient(append(b.opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t.history": {2: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for n := 0; n < len(want); {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			e, err := binding.ToEvent(ctx, message{r})
			if err != nil {
				t.Fatalf("record %d is no CloudEvent: %v", n, err)
			}
			if err := e.Validate(); err != nil {
				t.Errorf("record %d: %v", n, err)
			}
			if e.SpecVersion() != "1.0" || e.ID() != run.Run.String()+"/"+string(rune('1'+n)) || e.Source() != "/odradek/t/billing.monthly" ||
				e.Type() != "io.odradek."+want[n]+".v1" || e.Subject() != run.WorkflowID || !e.Time().Equal(at) ||
				e.DataContentType() != "application/json" || e.Extensions()["odrun"] != run.Run.String() {
				t.Errorf("record %d is\n%s", n, e)
			}
			var data struct {
				Event uint64
				Kind  string
			}
			if err := e.DataAs(&data); err != nil || data.Event != uint64(n+1) || data.Kind != want[n] {
				t.Errorf("record %d has the data %s: %v", n, e.Data(), err)
			}
			structured, err := format.JSON.Marshal(e)
			if err != nil || !json.Valid(structured) {
				t.Errorf("record %d has no structured form: %v", n, err)
			}
			n++
		}
	}
}

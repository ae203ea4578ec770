package billing_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/httpbinding"
	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflows/billing"
	"github.com/odradek/odradek/workflows/billing/apis"
)

// TestBindingsFitTheAPIs: the file binds every task of the process, and each call
// gives what the process's types say.
func TestBindingsFitTheAPIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv, err := apis.Start(apis.Config{Addr: "127.0.0.1:0", LedgerDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	file, err := httpbinding.Parse("bindings.yaml", []byte(billing.Bindings(srv.Addresses())), binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	handlers, _ := file.Handlers()
	for service, operations := range billing.Definition.Services() {
		for _, operation := range operations {
			if handlerOf(handlers, service, operation) == nil {
				t.Errorf("%s.%s is not bound", service, operation)
			}
		}
	}
	due := time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)
	used := do(t, handlers, billing.GetConsumption, billing.ConsumptionQuery{Customer: "c 7&x", Due: due})
	paid := do(t, handlers, billing.RequestPayment, billing.PaymentRequest{Customer: "c 7&x", Due: due, Cents: used.Units * 31})
	invoice := do(t, handlers, billing.CreateInvoice, billing.InvoiceRequest{Customer: "c 7&x", Due: due, Units: used.Units, Payment: paid})
	sent := do(t, handlers, billing.SendEmail, billing.Email{Customer: "c 7&x", Due: due, Invoice: invoice.Number})
	if used.Units < 80 || paid.ID != "pay_000001" || paid.Cents != used.Units*31 || invoice.Number != "INV-000001" || sent.Message != "msg_000001" {
		t.Errorf("got %+v, %+v, %+v, %+v", used, paid, invoice, sent)
	}
	for _, service := range apis.Services() {
		entries, _, err := apis.ReadLedger(apis.LedgerPath(dir, service), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 1 || entries[0].Customer != "c 7&x" || entries[0].Month != "2026-03-31T22:00:00Z" || entries[0].Key != "the-key" {
			t.Errorf("ledger of %s: %+v", service, entries)
		}
	}
}

// TestBindingsAtOtherAddresses: only what is named moves.
func TestBindingsAtOtherAddresses(t *testing.T) {
	t.Parallel()
	at := billing.Bindings(map[string]string{"payment": "127.0.0.1:7101"})
	for _, want := range []string{
		"  consumption:\n    base_url: http://127.0.0.1:7101\n",
		"  payment:\n    base_url: http://127.0.0.1:7101\n",
		"  email:\n    base_url: http://127.0.0.1:7104\n",
	} {
		if !strings.Contains(at, want) {
			t.Errorf("%q is missing in\n%s", want, at)
		}
	}
}

func handlerOf(handlers []worker.Handler, service, operation string) *worker.Handler {
	for i := range handlers {
		if handlers[i].Service == service && handlers[i].Operation == operation {
			return &handlers[i]
		}
	}
	return nil
}

// do makes one attempt of a task by its binding.
func do[In, Out any](t *testing.T, handlers []worker.Handler, task workflow.Task[In, Out], in In) (out Out) {
	t.Helper()
	input, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	h := handlerOf(handlers, task.Service(), task.Operation())
	result, err := h.Call(context.Background(), &worker.Call{
		Service: h.Service, Operation: h.Operation, WorkflowID: "c-7", Task: record.TaskID{No: 3}, Key: "the-key", Attempt: 1, Input: input,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(result, &out); err != nil {
		t.Fatalf("%s.%s gives %s: %v", h.Service, h.Operation, result, err)
	}
	return out
}

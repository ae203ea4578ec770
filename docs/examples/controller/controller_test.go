package controller

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	after "github.com/odradek/odradek/docs/examples/controller/after"
	before "github.com/odradek/odradek/docs/examples/controller/before"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/httpbinding"
	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
)

// TestTheControllerHalfFinishes: the third API says no, and the first is down when the
// reservation is to be released. The customer's stock stays reserved, and nobody knows.
func TestTheControllerHalfFinishes(t *testing.T) {
	var calls []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.URL.Path)
		switch r.URL.Path {
		case "/shipments":
			http.Error(w, "address unknown", http.StatusUnprocessableEntity)
		case "/releases":
			http.Error(w, "down", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(api.Close)
	before.Stock, before.Payment, before.Shipment, before.Mail = api.URL, api.URL, api.URL, api.URL
	w := httptest.NewRecorder()
	before.Handler(w, httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(`{"id":"7"}`)))
	if w.Code != http.StatusBadGateway || !slices.Equal(calls, []string{"/reservations", "/charges", "/shipments", "/refunds", "/releases"}) {
		t.Errorf("%d %v", w.Code, calls)
	}
}

// TestTheWorkflowDoesNot, whatever crashes: the release is tried until it succeeds.
func TestTheWorkflowDoesNot(t *testing.T) {
	for name, opts := range map[string][]workflowtest.Option{"plain": nil, "crashing": {workflowtest.CrashEachStep()}} {
		t.Run(name, func(t *testing.T) {
			env := workflowtest.New(t, after.Definition, opts...)
			var calls []string
			down := 3
			nothing := func(call string) func(after.Order) (struct{}, error) {
				return func(after.Order) (struct{}, error) {
					calls = append(calls, call)
					return struct{}{}, nil
				}
			}
			workflowtest.Handle(env, after.Reserve, nothing("reserve"))
			workflowtest.Handle(env, after.Charge, nothing("charge"))
			workflowtest.Handle(env, after.Refund, nothing("refund"))
			workflowtest.Handle(env, after.Ship, func(after.Order) (after.Receipt, error) {
				return after.Receipt{}, &workflow.Failure{Kind: workflow.FailureHTTP, HTTPStatus: 422, Code: "address_unknown"}
			})
			workflowtest.Handle(env, after.Release, func(after.Order) (struct{}, error) {
				if down--; down >= 0 {
					return struct{}{}, errors.New("down")
				}
				calls = append(calls, "release")
				return struct{}{}, nil
			})
			_, err := workflowtest.Run[after.Receipt](env, after.Order{ID: "7"})
			if f, ok := errors.AsType[*workflow.Failure](err); !ok || f.Code != "address_unknown" {
				t.Error(err)
			}
			if !slices.Equal(calls, []string{"reserve", "charge", "refund", "release"}) {
				t.Error(calls)
			}
		})
	}
}

// TestBindings fit the service worker.
func TestBindings(t *testing.T) {
	b, err := os.ReadFile("after/bindings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := httpbinding.Parse("bindings.yaml", b, binding.Options{}); err != nil {
		t.Error(err)
	}
}

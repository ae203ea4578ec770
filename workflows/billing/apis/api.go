package apis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The four services, as the process calls them.
const (
	ServiceConsumption = "consumption"
	ServicePayment     = "payment"
	ServiceInvoice     = "invoice"
	ServiceEmail       = "email"
)

// Services lists them in the order in which a month calls them.
func Services() []string {
	return []string{ServiceConsumption, ServicePayment, ServiceInvoice, ServiceEmail}
}

// call is a request as an API has understood it.
type call struct {
	customer string
	month    time.Time
	answer   func(n int) any // of the nth effect; it depends on the request and n alone
}

// route is an API's only path.
type route struct {
	pattern string
	status  int
	parse   func(r *http.Request, body []byte) (call, error)
}

func routeOf(service string) (route, error) {
	switch service {
	case ServiceConsumption:
		return route{"GET /customers/{customer}/consumption", http.StatusOK, parseConsumption}, nil
	case ServicePayment:
		return route{"POST /v2/payments", http.StatusCreated, parsePayment}, nil
	case ServiceInvoice:
		return route{"POST /customers/{customer}/invoices", http.StatusCreated, parseInvoice}, nil
	case ServiceEmail:
		return route{"POST /messages", http.StatusAccepted, parseEmail}, nil
	}
	return route{}, fmt.Errorf("there is no API %q", service)
}

// API is one of the four: an http.Handler over a ledger.
type API struct {
	service string
	route   route
	ledger  *Ledger
	faults  Faults
	mux     *http.ServeMux

	mu       sync.Mutex
	requests map[string]int // by key, since the start
}

// NewAPI makes the API of a service over its ledger.
func NewAPI(service string, ledger *Ledger, faults Faults) (*API, error) {
	rt, err := routeOf(service)
	if err != nil {
		return nil, err
	}
	if err := faults.validate(); err != nil {
		return nil, err
	}
	a := &API{service: service, route: rt, ledger: ledger, faults: faults, mux: http.NewServeMux(), requests: map[string]int{}}
	a.mux.HandleFunc(rt.pattern, a.serve)
	return a, nil
}

// ServeHTTP answers the API's path; anything else is 404 or 405.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// bodyBytesMax is far above what these APIs are sent.
const bodyBytesMax = 64 << 10

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	e := Entry{
		At: time.Now().UTC(), Service: a.service, Outcome: Effect, Status: a.route.status,
		Key: r.Header.Get("Idempotency-Key"), Method: r.Method, Target: r.URL.RequestURI(),
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	var c call
	if err == nil {
		if e.Body, err = compact(body); err == nil {
			c, err = a.route.parse(r, body)
		}
	}
	f := a.faults.of(a.service, e.Key, a.count(e.Key))
	if err == nil {
		f, err = f.asked(r.URL.Query())
	}
	if err == nil && e.Key == "" {
		err = errors.New("the header Idempotency-Key is missing")
	}
	time.Sleep(f.latency)
	if err == nil {
		e.Customer, e.Month, e.Lost = c.customer, c.month.Format(time.RFC3339Nano), f.lose
	}
	switch {
	case err != nil:
		e.Outcome, e.Status = Invalid, http.StatusBadRequest
	case f.refuse != 0:
		e.Outcome, e.Status, e.Lost = Refused, f.refuse, false
	}
	e, syncErr := a.ledger.record(e, func(n int) json.RawMessage { return encode(c.answer(n)) })
	if syncErr != nil { // nothing may be answered that the ledger does not have (L2)
		problem(w, http.StatusInternalServerError, "ledger_unavailable", syncErr.Error())
		return
	}
	a.answer(w, e, err)
}

// answer tells what the ledger has.
func (a *API) answer(w http.ResponseWriter, e Entry, invalid error) {
	if e.Lost {
		panic(http.ErrAbortHandler) // net/http breaks the connection
	}
	switch e.Outcome {
	case Invalid:
		problem(w, e.Status, "request_invalid", invalid.Error())
	case Conflict:
		problem(w, e.Status, "key_reused", "the Idempotency-Key was used for another request")
	case Refused:
		if s := math.Ceil(a.faults.RetryAfter.Seconds()); s > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(s)))
		}
		problem(w, e.Status, "try_later", "this is an injected fault; nothing was done")
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(e.Status)
		_, _ = w.Write(e.Answer) // a client that is gone asks again
	}
}

// count gives how many requests the key had before.
func (a *API) count(key string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.requests[key]
	a.requests[key] = n + 1
	return n
}

// compact is a JSON body on one line, because a ledger's lines are lines.
func compact(body []byte) (json.RawMessage, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, body); err != nil {
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	return b.Bytes(), nil
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // answers are made of strings and numbers
	}
	return b
}

// problem answers with a problem document (RFC 9457).
func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(map[string]any{"title": http.StatusText(status), "status": status, "code": code, "detail": detail}))
}

// Package standin has HTTP services to stand in for a company's own, in examples and
// drills: they do each thing once per idempotency key, remember what they refused, fail
// and lose answers on purpose, and leave books that can be checked.
package standin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// Service is one HTTP service: POST /<operation> with a JSON body.
type Service struct {
	Name string
	// Operations do something with a request's body and give the answer. They run one at a
	// time. A *Refusal is an answer too: no other will come for that key.
	Operations map[string]func(body []byte) (any, error)
}

// Refusal is an answer that says no, for good.
type Refusal struct {
	Code, Message string
}

// Error is the code and the message.
func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// Faults are what goes wrong on purpose.
type Faults struct {
	FailRate float64 // share of requests that are refused with 503 before anything is done
	LoseRate float64 // share of requests that are done and whose answer is lost
	Seed     uint64
}

// Servers are services that run.
type Servers struct {
	faults Faults
	addrs  map[string]string
	srvs   []*httptest.Server

	mu       sync.Mutex
	answers  map[string]answer // by service and key
	requests int
	repeats  int
	misused  []string // keys that came with another request
}

type answer struct {
	operation string
	body      []byte
	status    int
	value     []byte
}

// Start serves the services, each at an address of its own.
func Start(faults Faults, services ...Service) *Servers {
	s := &Servers{faults: faults, addrs: map[string]string{}, answers: map[string]answer{}}
	for _, svc := range services {
		srv := httptest.NewServer(s.handler(svc))
		s.srvs = append(s.srvs, srv)
		s.addrs[svc.Name] = strings.TrimPrefix(srv.URL, "http://")
	}
	return s
}

// Close stops them.
func (s *Servers) Close() {
	for _, srv := range s.srvs {
		srv.Close()
	}
}

// Bindings is a bindings file with the services' addresses in place of the variables
// http://SERVICE.
func (s *Servers) Bindings(file string) string {
	for name, addr := range s.addrs {
		file = strings.ReplaceAll(file, "base_url: http://"+name+".internal", "base_url: http://"+addr)
	}
	return file
}

// Requests tells how many came, how many of them were repeats of a key, and which keys
// came with another request than before: each of those is a fault of whoever sent it.
func (s *Servers) Requests() (all, repeats int, misused []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests, s.repeats, slices.Clone(s.misused)
}

const bodyBytesMax = 64 << 10

func (s *Servers) handler(svc Service) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
		operation, key := strings.TrimPrefix(r.URL.Path, "/"), r.Header.Get("Idempotency-Key")
		do := svc.Operations[operation]
		switch {
		case err != nil || key == "":
			problem(w, http.StatusBadRequest, "request_invalid", "a body and an Idempotency-Key are needed")
			return
		case do == nil:
			problem(w, http.StatusNotFound, "operation_unknown", operation)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests++
		draw := s.draw(svc.Name, key)
		if draw < s.faults.FailRate {
			problem(w, http.StatusServiceUnavailable, "try_later", "nothing was done")
			return
		}
		a := s.once(svc.Name+"/"+key, operation, body, do)
		if draw < s.faults.FailRate+s.faults.LoseRate {
			panic(http.ErrAbortHandler) // net/http breaks the connection
		}
		w.Header().Set("Content-Type", "application/json")
		if a.status != http.StatusOK {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(a.status)
		_, _ = w.Write(a.value)
	})
}

// once gives the answer of a key, and makes it where there is none. The mutex is held.
func (s *Servers) once(key, operation string, body []byte, do func([]byte) (any, error)) answer {
	if a, ok := s.answers[key]; ok {
		s.repeats++
		if a.operation != operation || !bytes.Equal(a.body, body) {
			s.misused = append(s.misused, key)
		}
		return a
	}
	a := answer{operation: operation, body: body, status: http.StatusOK}
	v, err := do(body)
	switch refusal, ok := errors.AsType[*Refusal](err); {
	case ok:
		a.status, a.value = http.StatusUnprocessableEntity, document(http.StatusUnprocessableEntity, refusal.Code, refusal.Message)
	case err != nil:
		a.status, a.value = http.StatusBadRequest, document(http.StatusBadRequest, "request_invalid", err.Error())
	default:
		if a.value, err = json.Marshal(v); err != nil {
			panic(err) // answers are made of strings and numbers
		}
	}
	s.answers[key] = a
	return a
}

// draw is a number from 0 to 1 that depends on the seed, the key and the request's place.
func (s *Servers) draw(service, key string) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%s/%d", s.faults.Seed, service, key, s.requests)
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(document(status, code, detail))
}

// document is a problem document (RFC 9457).
func document(status int, code, detail string) []byte {
	b, err := json.Marshal(map[string]any{"title": http.StatusText(status), "status": status, "code": code, "detail": detail})
	if err != nil {
		panic(err)
	}
	return b
}

// On makes an operation of a function of a request's type.
func On[In any](do func(in In) (any, error)) func(body []byte) (any, error) {
	return func(body []byte) (any, error) {
		var in In
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, fmt.Errorf("the body does not fit: %w", err)
		}
		return do(in)
	}
}

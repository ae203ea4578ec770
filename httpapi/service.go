package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// ListServices answers by itself: the brokers and the topic status tell all.
func (s operations) ListServices(w http.ResponseWriter, r *http.Request) {
	all, bad := s.services(r)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	page := api.ServicePage{Services: []api.Service{}}
	for i := range all {
		page.Services = append(page.Services, serviceView(&all[i]))
	}
	s.writeAnswer(w, answer{status: http.StatusOK, body: page})
}

// GetService shows one of them.
func (s operations) GetService(w http.ResponseWriter, r *http.Request, name api.ServiceName) {
	all, bad := s.services(r)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	i := slices.IndexFunc(all, func(s Service) bool { return s.Name == name })
	if i < 0 {
		names := make([]string, len(all))
		for n := range all {
			names[n] = all[n].Name
		}
		writeProblem(w, problem(api.CodeServiceNotFound, "no workflow type uses the service %q; they use %v", name, names))
		return
	}
	s.writeAnswer(w, answer{status: http.StatusOK, body: serviceView(&all[i])})
}

func (s operations) services(r *http.Request) ([]Service, *problemError) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	all, err := s.cfg.Engine.Services(ctx)
	if err != nil {
		s.logger.Error("look at the services", "error", err)
		return nil, asProblem(err, "")
	}
	return all, nil
}

// PauseService answers when the pause is written; the workers hear of it at once.
func (s operations) PauseService(w http.ResponseWriter, r *http.Request, name api.ServiceName, p api.PauseServiceParams) {
	s.operateService(w, r, name, record.ServiceAct{Paused: true, Reason: p.Reason})
}

// ResumeService answers when it is written.
func (s operations) ResumeService(w http.ResponseWriter, r *http.Request, name api.ServiceName, p api.ResumeServiceParams) {
	s.operateService(w, r, name, record.ServiceAct{Reason: p.Reason})
}

func (s operations) operateService(w http.ResponseWriter, r *http.Request, name string, act record.ServiceAct) {
	if len(act.Reason) > reasonBytesMax || !utf8.ValidString(act.Reason) {
		writeProblem(w, problem(api.CodeRequestInvalid, "the parameter reason is not UTF-8 or has more than %d bytes: shorten it", reasonBytesMax))
		return
	}
	act.By = caller(r)
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	changed, err := s.cfg.Engine.OperateService(ctx, name, act)
	switch {
	case errors.Is(err, ErrServiceUnknown):
		writeProblem(w, problem(api.CodeServiceNotFound, "%v", err))
		return
	case err != nil:
		s.logger.Error("pause or resume a service", "service", name, "error", err)
		writeProblem(w, asProblem(err, ""))
		return
	}
	done := api.ServiceDone{Service: name, Outcome: api.ServiceDoneOutcomeRepeated}
	if changed {
		done.Outcome = api.ServiceDoneOutcomeApplied
	}
	s.logger.Info("service", "service", name, "paused", act.Paused, "outcome", string(done.Outcome), "by", act.By, "reason", act.Reason)
	s.writeAnswer(w, answer{status: http.StatusOK, body: done})
}

func serviceView(s *Service) api.Service {
	v := api.Service{Service: s.Name, Partitions: s.Partitions, Paused: s.Row.Paused, Trouble: s.Trouble}
	if s.Members >= 0 {
		v.Members = &s.Members
	}
	lag := int64(0)
	for _, n := range s.Lag {
		if n < 0 {
			lag = -1
			break
		}
		lag += n
	}
	if lag >= 0 {
		v.Lag = &lag
	}
	for _, a := range s.Row.Acts {
		act := api.ServiceAct{Operation: api.ServiceActOperationResume, At: a.At.Time(), By: a.By, Reason: a.Reason}
		if a.Paused {
			act.Operation = api.ServiceActOperationPause
		}
		v.Acts = append(v.Acts, act)
	}
	for i := range s.Workers {
		w := &s.Workers[i]
		v.Workers = append(v.Workers, api.ServiceWorker{
			Instance: w.Instance, Build: w.Build, AgeMs: w.Age.Milliseconds(), Partitions: append([]int32{}, w.Partitions...), Permits: w.Permits,
			Running: w.Running, Queued: w.Queued, Open: w.Open, Rate: w.Rate, RateLimited: w.RateLimited, Keys: w.Keys, KeyLimited: w.KeyLimited,
			Breaker: api.ServiceWorkerBreaker(w.Breaker), RetryAt: moment(w.RetryAt), LastFailure: w.LastFailure, Paused: w.Paused,
		})
	}
	return v
}

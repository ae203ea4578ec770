package record

// WorkerRow is what a service worker writes of itself to the topic status, every few
// seconds. It is a hint: nothing but what people are shown depends on it.
type WorkerRow struct {
	Instance string          `json:"instance"`
	Build    string          `json:"build,omitempty"`
	At       Millis          `json:"at"` // by its clock
	Services []WorkerService `json:"services"`
}

// WorkerService is a worker's part of one service.
type WorkerService struct {
	Service     string  `json:"service"`
	Partitions  []int32 `json:"partitions"`             // task partitions that it holds, ascending
	Permits     int     `json:"permits"`                // calls that may run at the same time
	Running     int     `json:"running"`                // calls under way
	Queued      int     `json:"queued"`                 // tasks that wait for a permit
	Open        int     `json:"open"`                   // tasks that it has and not finished
	Rate        float64 `json:"rate,omitempty"`         // calls per second; 0: no limit
	RateLimited bool    `json:"rate_limited,omitempty"` // tasks wait for the rate
	Keys        int     `json:"keys,omitempty"`         // keys with limits of their own
	KeyLimited  int     `json:"key_limited,omitempty"`  // tasks that wait for the turn of their keys
	Breaker     string  `json:"breaker"`                // closed, open, half-open
	RetryAt     Millis  `json:"retry_at,omitempty"`     // when an open breaker lets the service be asked again
	LastFailure string  `json:"last_failure,omitempty"` // that opened it
	Paused      bool    `json:"paused,omitempty"`       // by an operator: it calls nothing
}

// ServiceRow is what operators did to a service, on the topic status: its workers obey.
type ServiceRow struct {
	Paused bool         `json:"paused"`
	Acts   []ServiceAct `json:"acts"` // the last ones, oldest first
}

// ServiceActsMax bounds the acts that a ServiceRow keeps.
const ServiceActsMax = 16

// ServiceAct is a pause or resume of a service.
type ServiceAct struct {
	Paused bool   `json:"paused"` // what it made of the service
	At     Millis `json:"at"`
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Last is what was done last; nil: nothing.
func (r *ServiceRow) Last() *ServiceAct {
	if r == nil || len(r.Acts) == 0 {
		return nil
	}
	return &r.Acts[len(r.Acts)-1]
}

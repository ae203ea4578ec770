package telemetry

import (
	"time"

	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/record"
)

// instancePage is /status of an engine's instance.
type instancePage struct {
	Instance   string     `json:"instance"`
	Addr       string     `json:"addr"`
	Generation int32      `json:"generation"`
	Ready      bool       `json:"ready"`
	Abandoned  int        `json:"abandoned_goroutines"`
	Lanes      []lanePage `json:"lanes"`
}

type lanePage struct {
	Partition   int32                `json:"partition"`
	State       string               `json:"state"`
	Since       time.Time            `json:"since"`
	Error       string               `json:"error,omitempty"`
	LastCommit  *time.Time           `json:"last_commit,omitempty"`
	Takeovers   int                  `json:"takeovers"`
	RestoreLeft int64                `json:"restore_left_records"`
	Inputs      map[string]inputPage `json:"inputs"`
}

// inputPage is where a lane is in one of its topics.
type inputPage struct {
	Offset int64 `json:"offset"` // settled up to here
	Lag    int64 `json:"lag_records"`
}

func newInstancePage(st processor.InstanceStatus) instancePage {
	p := instancePage{Instance: st.Instance, Addr: st.Addr, Generation: st.Generation, Ready: st.Ready, Abandoned: st.Abandoned, Lanes: []lanePage{}}
	for _, l := range st.Lanes {
		lane := lanePage{
			Partition: l.Partition, State: l.State.String(), Since: l.Since, Error: l.Error, Takeovers: l.Takeovers, RestoreLeft: l.RestoreLeft,
			Inputs: map[string]inputPage{
				record.TopicCommands.String(): {l.Positions.Commands.Offset, l.LagCommands},
				record.TopicEvents.String():   {l.Positions.Events.Offset, l.LagEvents},
				record.TopicInternal.String(): {l.Positions.Internal.Offset, l.LagInternal},
			},
		}
		if !l.LastCommit.IsZero() {
			lane.LastCommit = &l.LastCommit
		}
		p.Lanes = append(p.Lanes, lane)
	}
	return p
}

package processor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/odradek/odradek/record"
)

const (
	// crashesMax starts in a row that end in a crash make the next one careful; and so
	// many crashes with the same input alone in its step make it a dead letter.
	crashesMax = 3
	// carefulInputs is how many inputs are then stepped one by one: a second or two.
	carefulInputs = 500
	// crashFree is after what time of work a start counts as good.
	crashFree = time.Minute
	// strikesMax bounds the note.
	strikesMax = 50
	// codeCrashed is the code of the dead letter.
	codeCrashed = "crashed_engine"
)

// crashes finds the input that kills the process, which no error and no transaction
// can tell: what a process knew is gone with it, and so it leaves a note beside the
// store. The note says how many starts in a row did not come to a good end, and, once
// they are too many, which input is being stepped. While all is well there is none.
//
// The lane's goroutine owns it, and during a tenure the step's.
type crashes struct {
	cfg       *Config
	partition int32
	path      string // of the note; empty: this is off
	begun     time.Time
	careful   int // inputs that are yet to be stepped one by one
	noted     bool
	note      crashNote
}

// crashNote is the content of the file.
type crashNote struct {
	Starts  int            `json:"starts"`             // in a row that were not good, this one too
	Alone   *record.Origin `json:"stepping,omitempty"` // the input that is stepped
	Strikes []crashStrike  `json:"strikes,omitempty"`
}

// crashStrike is an input that was stepped, alone, when the process ended.
type crashStrike struct {
	Input record.Origin `json:"input"`
	Times int           `json:"times"`
}

// begin notes a start, the first time that the lane has taken over, and gives the
// inputs that are to become dead letters.
func (c *crashes) begin() (guilty []record.Origin) {
	if c.path == "" || !c.begun.IsZero() {
		return nil
	}
	c.begun = time.Now()
	if text, err := os.ReadFile(c.path); err == nil {
		if json.Unmarshal(text, &c.note) != nil {
			c.note = crashNote{} // it was cut short
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		c.warn(err)
	}
	if c.note.Starts >= crashesMax {
		c.careful = carefulInputs
	}
	c.note.Starts++
	if at := c.note.Alone; at != nil {
		c.strike(*at)
		c.note.Alone = nil
	}
	for _, s := range c.note.Strikes {
		if s.Times >= crashesMax {
			guilty = append(guilty, s.Input)
		}
	}
	c.write()
	return guilty
}

func (c *crashes) strike(o record.Origin) {
	for i := range c.note.Strikes {
		if c.note.Strikes[i].Input == o {
			c.note.Strikes[i].Times++
			return
		}
	}
	if n := len(c.note.Strikes); n >= strikesMax { // the oldest are processed since
		c.note.Strikes = c.note.Strikes[n-strikesMax+1:]
	}
	c.note.Strikes = append(c.note.Strikes, crashStrike{o, 1})
}

// stepping is called before each step of an input.
func (c *crashes) stepping(o record.Origin) {
	if c.careful == 0 {
		return
	}
	c.careful--
	c.note.Alone = &o
	c.write()
}

// settled is called after each batch. A start that has worked for a while was good.
func (c *crashes) settled() {
	if c.noted && c.careful == 0 && time.Since(c.begun) >= crashFree {
		c.end()
	}
}

// end takes the note away: the lane ends in good order, or works.
func (c *crashes) end() {
	if !c.noted {
		return
	}
	c.noted, c.note = false, crashNote{}
	if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.warn(err)
	}
}

// write replaces the note. It need not be synced: it is to outlive the process, not
// the machine.
func (c *crashes) write() {
	c.noted = true
	text, err := json.Marshal(c.note)
	if err == nil {
		if err = os.WriteFile(c.path+".new", text, 0o600); err == nil {
			err = os.Rename(c.path+".new", c.path)
		}
	}
	if err != nil {
		c.warn(err)
	}
}

func (c *crashes) warn(err error) {
	tell(c.cfg.Listener.Warning, WarningInfo{fmt.Sprintf("note on crashes of partition %d", c.partition), err})
}

// quarantine makes dead letters of the inputs that kill the process.
func (l *lane) quarantine() {
	for _, o := range l.crashes.begin() {
		why := fmt.Sprintf("the process ended %d times while this record was stepped alone: look in its log for a fatal error, or the kernel's for a lack of memory", crashesMax)
		l.blame.poison[o] = undeliverable{code: codeCrashed, detail: why}
		tell(l.cfg.Listener.Refused, RefusedInfo{Partition: l.partition, Origin: o, Err: errors.New(why)})
	}
}

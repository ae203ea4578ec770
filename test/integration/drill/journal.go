package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// journal tells people what a drill does.
type journal struct {
	mu    sync.Mutex
	out   io.Writer
	began time.Time
}

func newJournal(out io.Writer) *journal { return &journal{out: out, began: time.Now()} }

func (j *journal) say(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.out, "%7.1f s  %s\n", j.seconds(), fmt.Sprintf(format, args...))
}

// seconds since the start, with one decimal.
func (j *journal) seconds() float64 {
	return float64(time.Since(j.began).Round(100*time.Millisecond).Milliseconds()) / 1000
}

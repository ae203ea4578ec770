package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/odradek/odradek/client"
)

// watcher follows the customers' processes by the HTTP API. While the engine is
// down it keeps what it saw last.
type watcher struct {
	customers []string
	seen      map[string]progress
	events    map[string]int64 // of the history that seen was made of
	history   map[string][]json.RawMessage
}

func newWatcher(customers []string) *watcher {
	w := &watcher{customers: customers, seen: map[string]progress{}, events: map[string]int64{}, history: map[string][]json.RawMessage{}}
	for _, c := range customers {
		w.seen[c] = progress{customer: c}
	}
	return w
}

// pollTimeout bounds one look at all customers: the screen goes on meanwhile.
const pollTimeout = time.Second

// poll looks at all customers. It may end early: the next one goes on.
func (w *watcher) poll(ctx context.Context, c *client.HTTP) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	for _, customer := range w.customers {
		err := w.look(ctx, c, customer)
		var e *client.Error
		if errors.As(err, &e) && e.Status == 404 {
			continue // not started yet
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) look(ctx context.Context, c *client.HTTP, customer string) error {
	run, err := c.Get(ctx, customer)
	if err != nil {
		return err
	}
	if run.Events != w.events[customer] {
		if w.history[customer], err = history(ctx, c, customer); err != nil {
			return err
		}
		w.events[customer] = run.Events
	}
	p, err := progressOf(customer, &run, w.history[customer], time.Now())
	if err == nil {
		w.seen[customer] = p
	}
	return err
}

// history reads a run's whole history.
func history(ctx context.Context, c *client.HTTP, customer string) (all []json.RawMessage, err error) {
	for cursor := ""; ; {
		page, err := c.History(ctx, customer, cursor, 1000)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}

// list gives the customers in order.
func (w *watcher) list() (out []progress) {
	for _, c := range w.customers {
		out = append(out, w.seen[c])
	}
	return out
}

// completed counts the processes that ended well.
func (w *watcher) completed() (n int) {
	for _, p := range w.seen {
		if p.closed && !p.failed {
			n++
		}
	}
	return n
}

// sight is one look at everything.
type sight struct {
	customers []progress
	completed int
	err       error // a subscription was refused: nothing more comes
}

// pollPause is the time between two looks.
const pollPause = 200 * time.Millisecond

// watch subscribes the customers, then looks again and again until ctx is done; out
// is closed then.
func watch(ctx context.Context, s *system, months int, out chan<- sight) {
	defer close(out)
	w := newWatcher(s.opts.customerIDs())
	tick := time.NewTicker(pollPause)
	defer tick.Stop()
	var refused error
	for _, c := range w.customers {
		if refused = s.subscribe(ctx, c, months); refused != nil {
			break
		}
	}
	for {
		_ = w.poll(ctx, s.client) // an engine that is down: the customers are as before
		select {
		case out <- sight{customers: w.list(), completed: w.completed(), err: refused}:
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/bindings"
)

// reloadEvery is how often the file is looked at. A mounted file changes without a signal.
const reloadEvery = 5 * time.Second

// watched is a file that may be taken anew.
type watched struct {
	path string
	opts binding.Options
	file *bindings.File // what live serves
	live *bindings.Live
	log  *slog.Logger
}

// reload takes the bindings of the file anew when it, or a file of descriptors that it names,
// has changed, or on SIGHUP, until ctx ends. A file that is wrong, or asks for what only a
// restart can do, changes nothing.
func (a *app) reload(ctx context.Context, r watched) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	every := a.reloadEvery
	if every == 0 {
		every = reloadEvery
	}
	look := time.NewTicker(every)
	defer look.Stop()
	seen := r.file.Sum
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-hup:
			asked = true
		case <-look.C:
		}
		now := bindings.Sum(r.path, r.file)
		if now == seen && !asked {
			continue
		}
		seen = now
		next, err := bindings.Load(r.path, r.opts)
		if err == nil {
			err = r.live.Replace(next)
		}
		if err != nil {
			r.log.Error("the bindings are not reloaded, those that were there stay", "file", r.path, "err", err)
			continue
		}
		r.file, seen = next, next.Sum
		r.log.Info("the bindings are reloaded", "file", r.path)
	}
}

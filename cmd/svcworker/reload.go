package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/httpbinding"
)

// reloadEvery is how often the file is looked at. A mounted file changes without a signal.
const reloadEvery = 5 * time.Second

// reload takes the bindings of the file anew when it has changed, or on SIGHUP, until ctx
// ends. seen is the file as it was before it was loaded. A file that is wrong, or asks for what only a restart can do, changes nothing.
func (a *app) reload(ctx context.Context, path string, seen []byte, live *httpbinding.Live, log *slog.Logger) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	every := a.reloadEvery
	if every == 0 {
		every = reloadEvery
	}
	look := time.NewTicker(every)
	defer look.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-hup:
			asked = true
		case <-look.C:
		}
		b, err := os.ReadFile(path)
		if err == nil && bytes.Equal(b, seen) && !asked {
			continue
		}
		var file *httpbinding.File
		if err == nil {
			seen = b
			file, err = httpbinding.Parse(path, b, binding.Options{})
		}
		if err == nil {
			err = live.Replace(file)
		}
		if err != nil {
			log.Error("the bindings are not reloaded, those that were there stay", "file", path, "err", err)
			continue
		}
		log.Info("the bindings are reloaded", "file", path)
	}
}

// Command svcworker calls the HTTP APIs that a bindings file names for the tasks of
// workflows. docs/bindings.md describes the file.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// The first signal drains, the second ends at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop)
	os.Exit(newApp().run(ctx, os.Args[1:]))
}

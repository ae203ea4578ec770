package system

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Binaries are the programs of a deployment.
type Binaries struct{ Engine, Worker string }

// In gives the binaries in a folder that has them.
func In(dir string) Binaries {
	return Binaries{filepath.Join(dir, "engine"), filepath.Join(dir, "svcworker")}
}

// Build builds them into dir, with build tags if there are any.
func Build(ctx context.Context, dir, tags string) (Binaries, error) {
	b := In(dir)
	const module = "github.com/odradek/odradek"
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", tags, "-o", dir+string(filepath.Separator), module+"/cmd/engine", module+"/cmd/svcworker")
	if out, err := cmd.CombinedOutput(); err != nil {
		return b, fmt.Errorf("build the engine and the service worker: %w\n%s", err, out)
	}
	return b, nil
}

package workflowtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/workflow"
)

// UpdateVariable is the environment variable with which Golden records anew.
const UpdateVariable = "ODRADEK_UPDATE"

// Golden holds the code against a history that was recorded: where the code does
// something else by now, running processes would get stuck, or be given other inputs.
// Change it with a Patch, or give it a new version. The file is recorded from env, whose
// run has closed, where it is missing and ODRADEK_UPDATE is set.
func Golden(t testing.TB, path string, def workflow.Definition, record func() *Env) {
	t.Helper()
	if os.Getenv(UpdateVariable) != "" {
		b, err := codec.EncodeHistoryFile(record().file())
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o750)
		}
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatalf("workflowtest: record %s: %v", path, err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("workflowtest: %v: record it with %s=1", err, UpdateVariable)
	}
	f, err := codec.DecodeHistoryFile(b)
	if err != nil {
		t.Fatalf("workflowtest: %s: %v", path, err)
	}
	if err := replay.Check(def, f); err != nil {
		t.Errorf("workflowtest: %s: %v", path, err)
	}
}

// file is the history of the workflow's current run.
func (e *Env) file() codec.HistoryFile {
	e.t.Helper()
	s, err := e.store.Load(e.id)
	if err != nil || s == nil {
		e.t.Fatalf("workflowtest: the workflow has no run: %v", err)
	}
	return codec.HistoryFile{WorkflowID: e.id, Run: s.Run.Run, Type: s.Run.Type, Version: s.Run.Version, Events: e.History()}
}

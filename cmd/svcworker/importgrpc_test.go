package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImportGRPCCommand writes, says what differs, and tells what is wrong; what it wrote is
// what check reads.
func TestImportGRPCCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	call := func(args ...string) (int, string, string) {
		return run(t, append([]string{"import", "grpc"}, args...)...)
	}
	const protos = "../../worker/importer/testdata/proto"
	if code, _, errs := call("--proto", protos, "--out", dir, "--check"); code != exitProblems {
		t.Errorf("nothing is there: %d %s", code, errs)
	}
	code, out, errs := call("--proto", protos, "--out", dir)
	if code != exitOK || !strings.Contains(out, "service order: 3 of 5 operations are mapped") || !strings.Contains(out, "not mapped: Orders.Watch (acme.order.v1.Orders.Watch): it streams") || !strings.Contains(out, "set address") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if code, out, _ := call("--proto", protos, "--out", dir, "--check"); code != exitOK || !strings.Contains(out, "the files are current") || strings.Contains(out, "set address") {
		t.Errorf("current: %d %s", code, out)
	}
	config := filepath.Join(dir, "bindings.yaml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append([]byte("kafka: {bootstrap.servers: k:9092}\n"), b...), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := check(t, config); code != exitOK || !strings.Contains(out, "order.Orders.Place") {
		t.Errorf("check: %d %s", code, out)
	}
	code, out, _ = call(filepath.Join(dir, "order.protoset"), "--out", dir, "--check", "-o", "json", "--include", "Returns.*")
	var line importLine
	if err := json.Unmarshal([]byte(out), &line); err != nil || code != exitProblems || line.OK || line.Mapped != 1 || len(line.Files) != 2 {
		t.Errorf("%d %+v %v", code, line, err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no out":    {[]string{"--proto", protos}, "--out is missing"},
		"nothing":   {[]string{"--out", dir}, "name a set of descriptors, or a directory"},
		"both":      {[]string{"x.protoset", "--proto", protos, "--out", dir}, "name a set of descriptors, or a directory"},
		"no file":   {[]string{"nowhere.protoset", "--out", dir}, "nowhere.protoset"},
		"no match":  {[]string{"--proto", protos, "--out", dir, "--include", "x*"}, "no method was chosen"},
		"a stream":  {[]string{"--proto", protos, "--out", dir, "--include", "Orders.Watch"}, "no method can be mapped: Orders.Watch it streams"},
		"no set":    {[]string{"import.go", "--out", dir}, "not a FileDescriptorSet"},
		"no import": {[]string{"--proto", protos + "/acme/order", "--out", dir}, "acme/money/v1/money.proto"},
	} {
		if code, _, errs := call(c.args...); code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%s: %d %s", name, code, errs)
		}
	}
	if code, out, errs := call("--proto", protos+"/acme/order", "--proto-path", protos, "--out", t.TempDir()); code != exitOK {
		t.Errorf("with --proto-path: %d %s%s", code, out, errs)
	}
}

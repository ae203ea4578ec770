package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

// healthAPI is a server of gRPC's health service, and a configuration that binds it.
func healthAPI(t *testing.T) (address, config string, write func(task string)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, health.NewServer())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		srv.Stop()
		<-served
	})
	dir := t.TempDir()
	writeHealth(t, filepath.Join(dir, "health.protoset"), "")
	config = filepath.Join(dir, "w.yaml")
	address = l.Addr().String()
	return address, config, func(task string) {
		t.Helper()
		text := fmt.Sprintf("kafka: {bootstrap.servers: k:9092}\nservices:\n  health:\n    kind: grpc\n    address: %s\n    plaintext: true\n    descriptors: health.protoset\n    tasks:\n      check:\n        method: grpc.health.v1.Health/Check\n%s", address, task)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// writeHealth writes the descriptors of the health service; rename gives its answer's field
// another JSON name.
func writeHealth(t *testing.T, path, rename string) {
	t.Helper()
	f := protodesc.ToFileDescriptorProto(grpc_health_v1.File_grpc_health_v1_health_proto)
	for _, m := range f.MessageType {
		if rename != "" && m.GetName() == "HealthCheckResponse" {
			m.Field[0].JsonName = proto.String(rename)
		}
	}
	b, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{f}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestGRPC: check, call and a dry run of a service that speaks gRPC.
func TestGRPC(t *testing.T) {
	t.Parallel()
	address, config, write := healthAPI(t)
	write("        metadata: {x-of: \"{$workflow_id}\"}\n")
	call := func(args ...string) (int, string) {
		code, out, errs := run(t, args...)
		return code, out + errs
	}
	if code, out := call("check", config); code != exitOK || !strings.Contains(out, "health.check  grpc://"+address+"/grpc.health.v1.Health/Check  30s") {
		t.Errorf("check: %d %s", code, out)
	}
	if code, out := call("call", config, "health.check", "--input", `{}`); code != exitOK || !strings.Contains(out, `"status": "SERVING"`) {
		t.Errorf("a result: %d %s", code, out)
	}
	if code, out := call("call", config, "health.check", "--input", `{"service":"x"}`); code != exitProblems || !strings.Contains(out, `"code": "grpc_not_found"`) {
		t.Errorf("a failure: %d %s", code, out)
	}
	code, out := call("call", config, "health.check", "--input", `{"service":"x"}`, "--key", "k", "--dry-run")
	if want := "grpc://" + address + "/grpc.health.v1.Health/Check\nidempotency-key: k\nx-of: svcworker-call-1\n\n{\"service\":\"x\"}\n"; code != exitOK || out != want {
		t.Errorf("a dry run: %d %s", code, out)
	}
	if code, out := call("call", config, "health.watch"); code != exitUsage || !strings.Contains(out, `binds no task "health.watch": it has health.check`) {
		t.Errorf("no task: %d %s", code, out)
	}
	write("        metod: x\n")
	if code, out := call("check", config); code != exitProblems || strings.Count(out, "w.yaml") != 1 || !strings.Contains(out, `health.check.metod: this key is not known`) {
		t.Errorf("a bad file: %d %s", code, out)
	}
	if err := os.WriteFile(config, []byte("kafka: {bootstrap.servers: k:9092}\nservices:\n  a: {kind: soap}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := call("check", config); code != exitProblems || strings.Count(out, "\n") != 1 || !strings.Contains(out, `a.kind: the kind is "soap". Use http, which is the default, or grpc`) {
		t.Errorf("a kind: %d %s", code, out)
	}
}

// TestReloadGRPC: changed bindings, and changed descriptors alone, are used by the next call.
func TestReloadGRPC(t *testing.T) {
	t.Parallel()
	_, config, write := healthAPI(t)
	write("        result: \"{status}\"\n")
	r := reloads(t, config, "health", "check")
	if got := r.call(); got != `"SERVING"` {
		t.Errorf("at first %s", got)
	}
	write("        result: body\n")
	r.until("are reloaded", 1)
	if got := r.call(); got != `{"status":"SERVING"}` {
		t.Errorf("after the change %s", got)
	}
	writeHealth(t, filepath.Join(filepath.Dir(config), "health.protoset"), "is")
	r.until("are reloaded", 2)
	if got := r.call(); got != `{"is":"SERVING"}` {
		t.Errorf("after other descriptors %s", got)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(config), "health.protoset"), []byte("no set"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.until("not a FileDescriptorSet", 1)
	if got := r.call(); got != `{"is":"SERVING"}` {
		t.Errorf("after a bad file %s", got)
	}
}

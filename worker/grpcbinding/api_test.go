package grpcbinding

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// bankSet is testdata/bank.proto as a set of descriptors.
func bankSet(t testing.TB) []byte { return compile(t, "testdata", "bank.proto") }

// compile makes a set of a file that imports nothing but timestamps.
func compile(t testing.TB, dir, name string) []byte {
	t.Helper()
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}})}
	files, err := c.Compile(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto), protodesc.ToFileDescriptorProto(files[0]),
	}}
	b, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// api is a real server of the bank's service, whose answers a test gives.
type api struct {
	address string
	methods *methods
	server  *grpc.Server
	answer  func(ctx context.Context, request string) (answer string, err error) // both as JSON
}

func newAPI(t *testing.T, answer func(ctx context.Context, request string) (string, error), opts ...grpc.ServerOption) *api {
	t.Helper()
	return newAPIOf(t, bankSet(t), answer, opts...)
}

func newAPIOf(t *testing.T, set []byte, answer func(ctx context.Context, request string) (string, error), opts ...grpc.ServerOption) *api {
	t.Helper()
	methods, err := newMethods(set)
	if err != nil {
		t.Fatal(err)
	}
	a := &api{methods: methods, answer: answer}
	a.server = grpc.NewServer(append(opts, grpc.UnknownServiceHandler(a.handle))...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.address = l.Addr().String()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = a.server.Serve(l)
	}()
	t.Cleanup(func() {
		a.server.Stop()
		<-served
	})
	return a
}

func (a *api) handle(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	m := a.methods.byName[strings.TrimPrefix(name, "/")]
	in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	text, err := protojson.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := a.answer(stream.Context(), string(text))
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal([]byte(answer), out); err != nil {
		return err
	}
	return stream.SendMsg(out)
}

// bankFile writes bindings of the bank and its descriptors beside them.
func bankFile(t testing.TB, service, task string) (string, []byte) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bank.protoset"), bankSet(t), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "services:\n  bank:\n    kind: grpc\n    descriptors: bank.protoset\n" + lines(4, service) +
		"    tasks:\n      transfer:\n        method: acme.bank.v1.Bank/Transfer\n" + lines(8, task)
	return filepath.Join(dir, "b.yaml"), []byte(text)
}

func lines(n int, text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line != "" {
			b.WriteString(strings.Repeat(" ", n) + line + "\n")
		}
	}
	return b.String()
}

// bind makes the task bank.transfer.
func bind(t testing.TB, service, task string) *Task {
	t.Helper()
	name, text := bankFile(t, service, task)
	f, err := Parse(name, text, binding.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f.Services[0].Tasks[0]
}

func (a *api) plain() string { return "address: " + a.address + "\nplaintext: true\n" }

func testCall(input string) *worker.Call {
	return &worker.Call{
		Service: "bank", Operation: "transfer", WorkflowID: "customer-7", WorkflowType: "monthly", Key: "key-1", Attempt: 1,
		Task: record.TaskID{Run: record.DeriveRunID("customer-7", record.Origin{}, 1), No: 3}, Input: []byte(input),
		Trace: []record.Header{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}},
	}
}

func incoming(ctx context.Context, name string) string {
	md, _ := metadata.FromIncomingContext(ctx)
	return strings.Join(md.Get(name), ",")
}

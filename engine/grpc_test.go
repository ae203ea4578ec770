package engine

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/bindings"
	"github.com/odradek/odradek/worker/importer/testdata/order"
	"github.com/odradek/odradek/workflow"
)

// TestGRPCOnTheWholeEngine: a workflow uses the package that svcworker import grpc has made,
// the worker its bindings and descriptors, and what comes back from a real server decodes.
func TestGRPCOnTheWholeEngine(t *testing.T) {
	t.Parallel()
	const testdata = "../worker/importer/testdata/"
	set, err := os.ReadFile(testdata + "order.protoset")
	if err != nil {
		t.Fatal(err)
	}
	fds := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(set, fds); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(fds)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { // places what it is asked for
		name, _ := grpc.MethodFromServerStream(stream)
		d, err := files.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")))
		if err != nil {
			return err
		}
		in, out := dynamicpb.NewMessage(d.(protoreflect.MethodDescriptor).Input()), dynamicpb.NewMessage(d.(protoreflect.MethodDescriptor).Output())
		if err := stream.RecvMsg(in); err != nil {
			return err
		}
		if name == "/acme.order.v1.Orders/Place" {
			request, err := protojson.Marshal(in)
			if err != nil {
				return err
			}
			if err := protojson.Unmarshal(fmt.Appendf(nil, `{"id":"o-1","request":%s}`, request), out); err != nil {
				return err
			}
		}
		return stream.SendMsg(out)
	}))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(listener)
	}()
	t.Cleanup(func() {
		srv.Stop()
		<-served
	})
	yaml, err := os.ReadFile(testdata + "order.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "order.protoset"), set, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := bindings.Parse(filepath.Join(dir, "w.yaml"), []byte(strings.Replace(string(yaml), "service.invalid:443", listener.Addr().String()+"\n    plaintext: true", 1)), binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	live, err := bindings.NewLive(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(live.Close)

	buy := workflow.Define("buy", func(ctx workflow.Context, in order.PlaceRequest) (order.Order, error) {
		placed, err := order.OrdersPlace.Run(ctx, in)
		if err != nil {
			return placed, err
		}
		_, err = order.OrdersCancel.Run(ctx, order.CancelRequest{Id: placed.Id})
		return placed, err
	}, order.OrdersPlace, order.OrdersCancel)
	seeds, names := apiBrokers(t, "order")
	apiControl(t, seeds, names)
	e, addr, _ := apiInstance(t, seeds, names, "one", buy)
	ownsAll(t, e)
	cfg := worker.Config{
		Namespace: names.Namespace, Kafka: []kgo.Opt{kgo.SeedBrokers(seeds...)},
		SessionTimeout: 2 * time.Second, HeartbeatInterval: 100 * time.Millisecond,
	}
	cfg.Handlers, cfg.Services = live.Handlers()
	w, err := worker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Stop(context.Background()) })
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	due, patience, weight := time.Date(2026, 3, 31, 10, 0, 0, 0, time.UTC), "3.500s", order.Int64(9007199254740993)
	in := order.PlaceRequest{
		Customer: "c-7", Items: []order.PlaceRequestItem{{Sku: "a", Count: 2, Kind: order.PlaceRequestItemKindBook, Bundled: &order.PlaceRequestItem{Sku: "b"}}},
		Cash:      &order.Money{Units: 9007199254740993, Currency: order.CurrencyEur},
		Discounts: map[string]order.Money{"spring": {Units: 1, Currency: "7"}}, // newer than this package
		Flags:     map[int64]bool{-3: true}, Due: &due, Patience: &patience, Weight: &weight,
		Extra: nil, Signature: []byte{0, 255}, Numbers: []order.Uint64{18446744073709551615}, Ratio: 0.5,
	}
	h, err := client.Start[order.PlaceRequest, order.Order](t.Context(), c, "buy", "buy-1", in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Result(t.Context())
	if err != nil || got.Id != "o-1" || got.Request == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	r := got.Request
	if r.Cash == nil || *r.Cash != *in.Cash || r.Card != nil || r.Items[0].Kind != in.Items[0].Kind || r.Items[0].Bundled.Sku != "b" || r.Discounts["spring"] != in.Discounts["spring"] ||
		!r.Flags[-3] || !r.Due.Equal(due) || *r.Patience != patience || *r.Weight != weight || string(r.Signature) != "\x00\xff" || r.Numbers[0] != in.Numbers[0] || r.Ratio != 0.5 || r.Floor != nil || r.Note != nil {
		t.Errorf("what comes back is %+v", r)
	}
}

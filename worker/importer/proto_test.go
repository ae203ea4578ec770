package importer_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/odradek/odradek/worker/importer"
)

func parseProto(t *testing.T, opts importer.ProtoOptions) *importer.ProtoImport {
	t.Helper()
	m, err := importer.ProtoDir(t.Context(), filepath.Join("testdata", "proto"), nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestImportProto: a tree of packages becomes the golden files, and the package compiles;
// what streams is left out with the reason. A set gives the same but for comments.
func TestImportProto(t *testing.T) {
	t.Parallel()
	m := parseProto(t, importer.ProtoOptions{})
	if m.Service != "order" || len(m.Methods) != 3 || len(m.Skipped) != 2 || m.Skipped[0].Name != "Orders.Upload" || m.Skipped[1].Name != "Orders.Watch" || !strings.Contains(m.Skipped[1].Reason, "it streams") {
		t.Errorf("service %s, %d methods, skipped %+v", m.Service, len(m.Methods), m.Skipped)
	}
	yaml, changes, err := m.Bindings(nil)
	if err != nil || len(changes) != 3 {
		t.Fatal(changes, err)
	}
	golden(t, "order.yaml", yaml)
	set, err := m.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "order.protoset", set)
	src, err := m.GoFile()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "order/tasks.go", src)
	if out, err := exec.Command("go", "vet", "./testdata/order").CombinedOutput(); err != nil {
		t.Errorf("the package does not compile: %v\n%s", err, out)
	}
	again, err := importer.ProtoSet(set, importer.ProtoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := again.Descriptors()
	if err != nil || !bytes.Equal(set, second) {
		t.Errorf("the set of the set is another: %v", err)
	}
	if bare, err := again.GoFile(); err != nil || !strings.Contains(string(bare), `NewTask[PlaceRequest, Order]("order", "Orders.Place")`) {
		t.Errorf("%v\n%s", err, bare)
	}
}

// TestASecondProtoRunKeepsWhatWasChangedByHand.
func TestASecondProtoRunKeepsWhatWasChangedByHand(t *testing.T) {
	t.Parallel()
	first, _, err := parseProto(t, importer.ProtoOptions{}).Bindings(nil)
	if err != nil {
		t.Fatal(err)
	}
	if same, changes, err := parseProto(t, importer.ProtoOptions{}).Bindings(first); err != nil || !bytes.Equal(first, same) || len(changes) != 0 {
		t.Errorf("the same again: %v %v\n%s", changes, err, same)
	}
	edited := strings.Replace(string(first), "method: acme.order.v1.Orders/Cancel", "method: acme.order.v1.Orders/Cancel\n        timeout: 3s", 1)
	edited = strings.Replace(edited, "address: service.invalid:443", "address: order.internal:9090\n    plaintext: true", 1)
	m := parseProto(t, importer.ProtoOptions{Include: []string{"Orders.*"}})
	again, changes, err := m.Bindings([]byte(edited))
	if err != nil || !strings.Contains(string(again), "timeout: 3s") || !strings.Contains(string(again), "address: order.internal:9090") || !strings.Contains(string(again), "plaintext: true") {
		t.Errorf("%v\n%s", err, again)
	}
	if len(changes) != 2 || changes[0] != (importer.Change{Task: "Orders.Cancel", What: "kept"}) || changes[1] != (importer.Change{Task: "Returns.Place", What: "removed"}) || len(m.Notes) != 0 {
		t.Errorf("changes %+v, notes %v", changes, m.Notes)
	}
}

func TestIncludeProto(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]int{"acme.order.*": 3, "Orders.*": 2, "acme.order.v1.Returns.Place": 1, "nothing": 0, "*": 3} {
		if m := parseProto(t, importer.ProtoOptions{Include: []string{pattern}}); len(m.Methods) != want {
			t.Errorf("%s: %d methods", pattern, len(m.Methods))
		}
	}
}

func TestBadProto(t *testing.T) {
	t.Parallel()
	if _, err := importer.ProtoSet([]byte("no set"), importer.ProtoOptions{}); err == nil || !strings.Contains(err.Error(), "not a FileDescriptorSet") {
		t.Error(err)
	}
	if _, err := importer.ProtoDir(t.Context(), "testdata/webshop", nil, importer.ProtoOptions{}); err == nil || !strings.Contains(err.Error(), "no .proto file below") {
		t.Error(err)
	}
	if _, err := importer.ProtoDir(t.Context(), "testdata/proto/acme/order", nil, importer.ProtoOptions{}); err == nil || !strings.Contains(err.Error(), "acme/money/v1/money.proto") {
		t.Error(err)
	}
}

package grpcbinding

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// block is one fenced block of a page.
type block struct {
	line       int
	info, body string
}

func blocksOf(t *testing.T, path string) (out []block) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	for i, line := range strings.Split(string(b), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{line: i + 1, info: info}
		case fence:
			out = append(out, *open)
			open = nil
		case open != nil:
			open.body += line + "\n"
		}
	}
	return out
}

// TestThePageOnGRPCIsTrue plays docs/bindings-grpc.md: each file is loaded, each input sent to
// a server that answers as the page says, and requests, results, failures and problems are
// those of the page.
func TestThePageOnGRPCIsTrue(t *testing.T) {
	dir := t.TempDir()
	var set []byte
	var task *Task
	var input, want, answer string
	played := map[string]int{}
	for _, b := range blocksOf(t, "../../docs/bindings-grpc.md") {
		played[b.info]++
		switch b.info {
		case "proto":
			if err := os.WriteFile(filepath.Join(dir, "page.proto"), []byte(b.body), 0o600); err != nil {
				t.Fatal(err)
			}
			set = compile(t, dir, "page.proto")
			if err := os.WriteFile(filepath.Join(dir, "payment.protoset"), set, 0o600); err != nil {
				t.Fatal(err)
			}
		case "yaml":
			f, err := Parse(filepath.Join(dir, "bindings.yaml"), []byte(b.body), binding.Options{})
			if err != nil {
				t.Fatalf("line %d: %v", b.line, err)
			}
			task, input, want, answer = f.Services[0].Tasks[0], "", "", ""
		case "yaml bad":
			_, err := Parse(filepath.Join(dir, "bindings.yaml"), []byte(b.body), binding.Options{})
			if err == nil {
				t.Fatalf("line %d: accepted", b.line)
			}
			answer = strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
		case "text problems":
			if answer != b.body {
				t.Errorf("line %d: the file is told\n%s\nthe page says\n%s", b.line, answer, b.body)
			}
		case "json input":
			input = b.body
		case "grpc request":
			want = b.body
		case "grpc answer":
			answer = b.body
		case "json result", "json failure":
			playCall(t, b, set, task, input, want, answer)
		case "sh": // played by cmd/svcworker
		default:
			t.Errorf("line %d: nobody plays blocks of kind %q", b.line, b.info)
		}
	}
	if played["json result"] < 3 || played["json failure"] < 2 || played["text problems"] < 1 {
		t.Fatalf("the page has only %v", played)
	}
}

func playCall(t *testing.T, b block, set []byte, task *Task, input, want, answer string) {
	t.Helper()
	first, body, _ := strings.Cut(answer, "\n")
	code, text, _ := strings.Cut(first, ": ")
	wantMetadata, wantBody, _ := strings.Cut(want, "\n\n")
	var got atomic.Pointer[string]
	a := newAPIOf(t, set, func(ctx context.Context, request string) (string, error) {
		got.Store(&request)
		for line := range strings.SplitSeq(wantMetadata, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok && incoming(ctx, name) != value {
				t.Errorf("line %d: metadata %s is %q, the page says %q", b.line, name, incoming(ctx, name), value)
			}
		}
		for c, r := range codeRules {
			if r.name != code || c == codes.OK {
				continue
			}
			p := status.New(c, text).Proto()
			if detail := strings.TrimSpace(body); detail != "" {
				d := &anypb.Any{}
				if err := protojson.Unmarshal([]byte(detail), d); err != nil {
					return "", err
				}
				p.Details = append(p.Details, d)
			}
			return "", status.FromProto(p).Err()
		}
		return body, nil
	})
	task.service.address, task.service.plaintext, task.service.Dial.Loopback = a.address, true, true
	call := testCall(input)
	call.Key = "01jdg8x3q0a2b3c4d5e6f7g8h9.3"
	result, err := task.Call(t.Context(), call)
	if want != "" && (got.Load() == nil || !sameJSON(*got.Load(), wantBody)) {
		t.Errorf("line %d: the request is %v, the page says\n%s", b.line, got.Load(), wantBody)
	}
	var f *record.Failure
	switch {
	case b.info == "json result" && (err != nil || !sameJSON(string(result), b.body)):
		t.Errorf("line %d: the result is %s, %v, the page says %s", b.line, result, err, b.body)
	case b.info == "json failure" && !errors.As(err, &f):
		t.Errorf("line %d: got %s, %v, the page says %s", b.line, result, err, b.body)
	case f != nil:
		got, err := json.Marshal(worker.Failure(f))
		if err != nil || !sameJSON(string(got), b.body) {
			t.Errorf("line %d: the failure is %s, %v, the page says %s", b.line, got, err, b.body)
		}
	}
}

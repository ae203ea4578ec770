package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/workflow"
)

// TestATypeIsPausedEverywhere: in all partitions, of two instances, and after a takeover.
// What came meanwhile, starts included, waits and is then given to each run in its order;
// other types go on.
func TestATypeIsPausedEverywhere(t *testing.T) {
	t.Parallel()
	more := workflow.NewSignal[string]("more")
	telling := func(typ string) workflow.Definition {
		return workflow.Define(typ, func(ctx workflow.Context, said string) (string, error) {
			for {
				word, err := more.Receive(ctx)
				if err != nil || word == "." {
					return said, err
				}
				said += word
			}
		}, more)
	}
	seeds, names := apiBrokers(t)
	definitions := []workflow.Definition{telling("held"), telling("free")}
	one, addr, _ := apiInstance(t, seeds, names, "one", definitions...)
	two, other, second := apiInstance(t, seeds, names, "two", definitions...)
	waitUntil(t, "both own partitions", func() bool {
		owned := [2]int{}
		for p := range one.Partitions() {
			for i, e := range []interface {
				Owner(int32) (string, bool, bool)
			}{one, two} {
				if _, self, _ := e.Owner(p); self {
					owned[i]++
				}
			}
		}
		return owned[0] > 0 && owned[1] > 0 && owned[0]+owned[1] == apiPartitions
	})
	ctx := t.Context()
	var clients [2]*client.HTTP
	for i, u := range []string{addr, other} {
		c, err := client.NewHTTP(client.HTTPConfig{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		clients[i] = c
	}
	c := clients[0]
	const runs = 12 // some in each partition
	id := func(typ string, i int) string { return fmt.Sprint(typ, i) }
	start := func(typ string, i int) {
		t.Helper()
		if _, err := client.Start[string, string](ctx, c, typ, id(typ, i), "-"); err != nil {
			t.Fatal(err)
		}
	}
	say := func(typ string, i int, words ...string) {
		t.Helper()
		for _, w := range words {
			if err := client.Signal(ctx, c, id(typ, i), more, w); err != nil {
				t.Fatal(err)
			}
		}
	}
	result := func(typ string, i int) {
		t.Helper()
		h, err := client.Attach[string](ctx, c, id(typ, i))
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Result(ctx)
		if err != nil || got != "-abc" {
			t.Fatalf("%s said %q, %v", id(typ, i), got, err)
		}
	}
	for i := range runs {
		start("held", i)
		start("free", i)
		say("held", i, "a")
	}
	done, err := clients[1].PauseType(ctx, client.TypeRequest{Type: "held", Reason: "the words are wrong", CommandID: "p"})
	if err != nil || done.Outcome != api.TypeDoneOutcomeApplied {
		t.Fatalf("the pause: %+v, %v", done, err)
	}
	if done, err = c.PauseType(ctx, client.TypeRequest{Type: "held"}); err != nil || done.Outcome != api.TypeDoneOutcomeRepeated {
		t.Errorf("a pause more: %+v, %v", done, err)
	}
	for i := range runs {
		say("held", i, "b", "c")
		say("free", i, "a", "b", "c", ".")
		result("free", i)
	}
	start("held", runs)
	say("held", runs, "a", "b", "c", ".")
	for i := range runs + 1 {
		w, err := c.Get(ctx, id("held", i))
		if err != nil || w.TypePaused == nil || w.TypePaused.Reason != "the words are wrong" || w.Stuck != nil || w.Pending == nil || w.Pending.Inputs < 2 {
			t.Fatalf("a run of the paused type is %+v, %v", w, err)
		}
	}
	if err := second.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	ownsAll(t, one)
	page, err := c.Types(ctx)
	if err != nil || page.Partial || page.Partitions != apiPartitions {
		t.Fatalf("the types are %+v, %v", page, err)
	}
	i := slices.IndexFunc(page.Types, func(v api.Type) bool { return v.Type == "held" })
	if v := page.Types[i]; len(v.PausedPartitions) != apiPartitions || len(v.Acts) != 1 || len(v.Acts[0].Partitions) != apiPartitions || v.Acts[0].CommandID != "p" || !v.Compiled {
		t.Errorf("the paused type is %+v", v)
	}
	for i := range runs {
		say("held", i, ".")
	}
	if done, err = c.ResumeType(ctx, client.TypeRequest{Type: "held", Reason: "mended"}); err != nil || done.Outcome != api.TypeDoneOutcomeApplied {
		t.Fatalf("the resume: %+v, %v", done, err)
	}
	for i := range runs + 1 {
		result("held", i)
	}
	if page, err = c.Types(ctx); err != nil {
		t.Fatal(err)
	}
	if v := page.Types[i]; len(v.PausedPartitions) != 0 || len(v.Acts) != 2 || v.Acts[1].Reason != "mended" {
		t.Errorf("the resumed type is %+v", v)
	}
	if _, err := c.PauseType(ctx, client.TypeRequest{Type: "nobody's"}); client.Code(err) != api.CodeWorkflowTypeUnknown || !strings.Contains(err.Error(), "held") {
		t.Errorf("an unknown type: %v", err)
	}
}

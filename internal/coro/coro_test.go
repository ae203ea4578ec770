package coro

import (
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start makes a coroutine whose body gets it as an argument.
func start(body func(c *Coro)) *Coro {
	var c *Coro
	c = New(func() { body(c) })
	return c
}

func functions(e Exit) string {
	var b strings.Builder
	frames := runtime.CallersFrames(e.Stack)
	for more := len(e.Stack) > 0; more; {
		var f runtime.Frame
		f, more = frames.Next()
		b.WriteString(f.Function + "\n")
	}
	return b.String()
}

func TestParkAndReturn(t *testing.T) {
	t.Parallel()
	n, hooks := 0, 0
	hook := func() { hooks++ }
	c := start(func(c *Coro) {
		for n < 3 {
			n++
			c.Await()
		}
	})
	for want := 1; want <= 3; want++ {
		if e := c.Resume(hook); e.How != Parked || n != want || hooks != want {
			t.Fatalf("resume %d: how %d, n %d, hooks %d", want, e.How, n, hooks)
		}
	}
	if e := c.Resume(hook); e.How != Returned || hooks != 4 {
		t.Fatalf("%+v after %d hooks", e, hooks)
	}
	c.Stop()
	if c.Stopped() {
		t.Error("a body that has ended counts as stopped")
	}
	defer func() {
		if recover() == nil {
			t.Error("an ended coroutine was resumed")
		}
	}()
	c.Resume(nil)
}

//go:noinline
func explode(v any) { panic(v) }

//go:noinline
func leaveThread() { runtime.Goexit() }

// TestEnds: however the body ends, the caller goes on (K1).
func TestEnds(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	var nilMap map[string]int
	for name, c := range map[string]struct {
		body  func()
		how   How
		check func(v any) bool
		frame string
	}{
		"panic":         {func() { explode(boom) }, Panicked, func(v any) bool { return errors.Is(v.(error), boom) }, "coro.explode"},
		"nil panic":     {func() { explode(nil) }, Panicked, func(v any) bool { _, ok := v.(*runtime.PanicNilError); return ok }, "coro.explode"},
		"runtime error": {func() { nilMap["a"] = 1 }, Panicked, func(v any) bool { _, ok := v.(runtime.Error); return ok }, "TestEnds"},
		"goexit":        {leaveThread, Goexited, func(v any) bool { return v == nil }, "coro.leaveThread"},
		"goexit in a defer of a panic": {func() {
			defer leaveThread()
			explode(boom)
		}, Goexited, func(v any) bool { return v == nil }, "coro.leaveThread"},
		"panic in a defer of a goexit": {func() {
			defer explode(boom)
			leaveThread()
		}, Panicked, func(v any) bool { return errors.Is(v.(error), boom) }, "coro.explode"},
		"recovered": {func() {
			defer func() { _ = recover() }()
			explode(boom)
		}, Returned, func(v any) bool { return v == nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unwound := make(chan struct{})
			co := start(func(co *Coro) {
				defer close(unwound)
				co.Await()
				c.body()
			})
			co.Resume(nil)
			e := co.Resume(nil)
			if e.How != c.how || !c.check(e.Value) {
				t.Errorf("how %d, value %v", e.How, e.Value)
			}
			if got := functions(e); !strings.Contains(got, c.frame) {
				t.Errorf("the stack lacks %s:\n%s", c.frame, got)
			}
			<-unwound
		})
	}
}

// TestStop: a stopped body sees nothing but Goexit, whatever it tries (K2).
func TestStop(t *testing.T) {
	t.Parallel()
	var seen []string
	unwound := make(chan struct{})
	c := start(func(c *Coro) {
		defer close(unwound)
		defer func() {
			seen = append(seen, "outer defer")
			for { // a loop that recovers and waits again must end too
				c.Await()
				seen = append(seen, "went on in a defer")
			}
		}()
		defer func() {
			if v := recover(); v != nil {
				seen = append(seen, "recovered")
			}
			panic("a panic of a defer")
		}()
		c.Await()
		seen = append(seen, "went on")
	})
	c.Resume(nil)
	c.Stop()
	c.Stop()
	<-unwound
	if len(seen) != 1 || seen[0] != "outer defer" || !c.Stopped() {
		t.Errorf("the body did %q", seen)
	}
}

// TestStopPanicOfDefer: what a defer panics with at the end reaches nobody.
func TestStopPanicOfDefer(t *testing.T) {
	t.Parallel()
	unwound := make(chan struct{})
	c := start(func(c *Coro) {
		defer func() {
			close(unwound)
			panic("a panic of the last defer")
		}()
		c.Await()
	})
	c.Resume(nil)
	c.Stop()
	<-unwound
}

func TestStopBeforeFirstResume(t *testing.T) {
	t.Parallel()
	c := start(func(*Coro) { t.Error("the body ran") })
	c.Stop()
	if !c.Stopped() {
		t.Error("not stopped")
	}
}

// TestStopWhileRunning: the iterator of a body that runs is left alone; the body is
// unwound after it has switched back (K3).
func TestStopWhileRunning(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *Coro){
		"parks":   func(c *Coro) { c.Leave() },
		"returns": func(*Coro) {},
		"panics":  func(*Coro) { panic("late") },
		"goexits": func(*Coro) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inside, release, unwound := make(chan struct{}), make(chan struct{}), make(chan struct{})
			c := start(func(c *Coro) {
				defer close(unwound)
				close(inside)
				<-release // hangs
				end(c)
			})
			lane := make(chan struct{})
			var back atomic.Bool
			go func() {
				defer close(lane)
				c.Resume(func() { back.Store(true) })
			}()
			<-inside
			c.Stop()
			for range 1000 { // a chance for what must not happen
				runtime.Gosched()
			}
			if back.Load() {
				t.Error("switched back out of a body that runs")
			}
			close(release)
			<-lane
			<-unwound
		})
	}
}

// TestAfterSwitchLeaves: a goroutine that leaves in the hook has the coroutine
// unwound, for nobody else can resume it.
func TestAfterSwitchLeaves(t *testing.T) {
	t.Parallel()
	unwound, lane, touched := make(chan struct{}), make(chan struct{}), false
	c := start(func(c *Coro) {
		defer close(unwound)
		c.Await()
	})
	go func() {
		defer close(lane)
		c.Resume(runtime.Goexit)
		touched = true
	}()
	<-lane
	<-unwound
	if touched || !c.Stopped() {
		t.Errorf("touched %v, stopped %v", touched, c.Stopped())
	}
}

// TestInside: right on the body's goroutine while it runs, however deep and however
// often its stack has moved; wrong everywhere else.
func TestInside(t *testing.T) {
	t.Parallel()
	var dig func(c *Coro, n int) bool
	dig = func(c *Coro, n int) bool {
		var pad [512]byte
		pad[n%len(pad)] = byte(n)
		return c.Inside() && (n == 0 || dig(c, n-1)) && pad[n%len(pad)] == byte(n)
	}
	c := start(func(c *Coro) {
		for _, depth := range []int{0, 3, 100, 1, 1000, 0} {
			if !dig(c, depth) || !Within() {
				t.Errorf("outside at depth %d", depth)
			}
			elsewhere := make(chan bool)
			go func() { elsewhere <- c.Inside() || Within() }()
			if <-elsewhere {
				t.Error("inside on another goroutine")
			}
			c.Await()
		}
	})
	if c.Inside() {
		t.Error("inside before it runs")
	}
	for c.Resume(nil).How == Parked {
		if c.Inside() || Within() {
			t.Error("inside while parked")
		}
	}
}

func TestInsideAnotherCoroutine(t *testing.T) {
	t.Parallel()
	a := start(func(a *Coro) {
		b := start(func(*Coro) {
			if a.Inside() || !Within() {
				t.Error("inside the outer coroutine")
			}
		})
		b.Resume(nil)
		if !a.Inside() {
			t.Error("not inside after the inner one")
		}
	})
	a.Resume(nil)
}

// TestSwitchAllocatesNothing: not parallel, as AllocsPerRun demands.
func TestSwitchAllocatesNothing(t *testing.T) {
	c := start(func(c *Coro) {
		for {
			if !c.Inside() {
				t.Error("outside")
			}
			c.Await()
		}
	})
	hook := func() {}
	c.Resume(hook)
	if n := testing.AllocsPerRun(1000, func() { c.Resume(hook) }); n != 0 {
		t.Errorf("a switch there and back allocates %v times", n)
	}
	c.Stop()
}

func BenchmarkSwitch(b *testing.B) {
	c := start(func(c *Coro) {
		for c.Inside() {
			c.Await()
		}
	})
	for b.Loop() {
		c.Resume(nil)
	}
	c.Stop()
}

package workflow

// Go runs fn beside the code that calls it, in a thread of the run. Threads take turns:
// one runs until it waits or ends, then the next, in the order in which they were
// started, so that replay sees the same. They may share variables without locks. A run
// ends when its function returns; threads that are still there are left.
func Go(ctx Context, fn func(ctx Context)) {
	h := ctx.enter()
	h.Go(func() { fn(ctx) })
}

// Async is Go for a function with a result.
func Async[T any](ctx Context, fn func(ctx Context) (T, error)) Future[T] {
	h := ctx.enter()
	var (
		value T
		err   error
	)
	o := &Open{Scope: ctx.scope}
	h.Go(func() {
		value, err = fn(ctx)
		o.ClosedAt, o.ClosedNo, o.Closed = h.Now(), h.Event(), returned
	})
	return Future[T]{host: h, open: o, decode: func(Host, *Open) (T, error) { return value, err }}
}

// Until waits until cond holds. It is looked at whenever another thread of the run has
// moved, or an input has come that a thread waited for. cond asks for nothing and
// does not wait.
func Until(ctx Context, cond func() bool) error {
	h := ctx.enter()
	for again := false; !cond(); again = true {
		if err := ctx.vain(h); err != nil {
			return err
		}
		h.Block(Awaited{Any: true, Again: again, Scope: ctx.scope})
	}
	return nil
}

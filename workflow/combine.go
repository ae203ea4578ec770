package workflow

import "errors"

// All waits until every future has its result, and gives them in order. It does not
// wait any longer once one has failed, and gives that one's error; with several failed
// ones that of the first to fail.
func All[T any](ctx Context, fs ...Future[T]) ([]T, error) {
	for {
		settled, err := settle(ctx, fs)
		if err != nil {
			return nil, err
		}
		if i, err := firstFailed(ctx, fs, settled); i >= 0 {
			return nil, err
		}
		if len(settled) == len(fs) {
			break
		}
		if err := waitAny(ctx, fs); err != nil {
			return nil, err
		}
	}
	out := make([]T, len(fs))
	for i, f := range fs {
		var err error
		if out[i], err = f.Get(ctx); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Any waits for the first success: which future it was, from 0, and its result. Where
// all have failed the index is -1 and the error joins theirs.
func Any[T any](ctx Context, fs ...Future[T]) (int, T, error) {
	var zero T
	for {
		settled, err := settle(ctx, fs)
		if err != nil {
			return -1, zero, err
		}
		errs := make([]error, 0, len(settled))
		for _, i := range settled {
			v, err := fs[i].Get(ctx)
			if err == nil {
				return i, v, nil
			}
			errs = append(errs, err)
		}
		if len(settled) == len(fs) {
			return -1, zero, errors.Join(errs...)
		}
		if err := waitAny(ctx, fs); err != nil {
			return -1, zero, err
		}
	}
}

// Race waits for the first future that settles, in success or failure: which one it
// was, from 0, and what it gave. The index is -1 where the scope was cancelled before.
func Race[T any](ctx Context, fs ...Future[T]) (int, T, error) {
	var zero T
	for {
		settled, err := settle(ctx, fs)
		if err != nil {
			return -1, zero, err
		}
		if len(settled) > 0 {
			v, err := fs[settled[0]].Get(ctx)
			return settled[0], v, err
		}
		if err := waitAny(ctx, fs); err != nil {
			return -1, zero, err
		}
	}
}

// settle gives the futures that have settled, in the order in which they did; those of
// one moment in that of the arguments.
func settle[T any](ctx Context, fs []Future[T]) ([]int, error) {
	h := ctx.enter()
	if len(fs) == 0 {
		panic("workflow: All, Any and Race need at least one future")
	}
	var settled []int
	var when []uint64
	for i, f := range fs {
		f.check(h)
		if !f.settled() {
			continue
		}
		no := uint64(0)
		if f.err == nil {
			no = f.open.ClosedNo
		}
		at := len(settled)
		for at > 0 && when[at-1] > no {
			at--
		}
		settled = append(settled[:at], append([]int{i}, settled[at:]...)...)
		when = append(when[:at], append([]uint64{no}, when[at:]...)...)
	}
	return settled, nil
}

func firstFailed[T any](ctx Context, fs []Future[T], settled []int) (int, error) {
	for _, i := range settled {
		if _, err := fs[i].Get(ctx); err != nil {
			return i, err
		}
	}
	return -1, nil
}

// waitAny waits until another of the futures settles.
func waitAny[T any](ctx Context, fs []Future[T]) error {
	h := ctx.enter()
	if err := ctx.vain(h); err != nil {
		return err
	}
	opens := make([]*Open, 0, len(fs))
	for _, f := range fs {
		if !f.settled() {
			opens = append(opens, f.open)
		}
	}
	h.Block(Awaited{Opens: opens, Scope: ctx.scope})
	return nil
}

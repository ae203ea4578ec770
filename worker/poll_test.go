package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/workflow"
)

// TestPolls: a handler whose work goes on elsewhere is called again with what it left. Each
// event says of which sending it is; a failure may say that what was left is gone.
func TestPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		type job struct{ No int }
		render := workflow.NewTask[int, string](testService, "render")
		e.start("a", Config{Handlers: []Handler{Handle(render, func(ctx context.Context, long int) (string, error) {
			left, ok, err := LastDetails[job](ctx)
			switch {
			case err != nil:
				return "", err
			case long > 0:
				return "", PollAfter(time.Second, strings.Repeat("x", long))
			case !ok:
				return "", fmt.Errorf("job 7 has begun: %w", PollAfter(1500*time.Millisecond, job{7}))
			case CallOf(ctx).Sending == 2:
				return "", PollAfter(0, left)
			case CallOf(ctx).Sending == 3:
				return "", Forget(RetryAfter(errors.New("job 7 is not known"), time.Second))
			}
			return fmt.Sprint("page of job ", left.No), nil
		})}})
		var got []string
		for sending := range 5 {
			rec := taskRecord(1, "render", 0, `0`)
			if sending > 0 {
				rec.Headers = append(rec.Headers, header(codec.HeaderSending, fmt.Sprint(sending+1)), header(codec.HeaderDetails, `{"No":7}`))
			}
			if sending == 4 {
				rec.Value = []byte("20000")
			}
			e.produce(rec)
			ev := e.events(1)[0]
			value, _, _ := strings.Cut(ev.Value, "}")
			if sending == 4 {
				value = fmt.Sprint(strings.Contains(value, "20002 bytes"))
			}
			got = append(got, ev.Kind+" "+ev.Attempt+ev.More+" "+value)
		}
		want := []string{
			`pending 1 sending=1 after-ms=1500 {"No":7`,
			`pending 1 sending=2 after-ms=1 {"No":7`,
			`failed 1 sending=3 forget=1 {"kind":"application","message":"job 7 is not known","retryable":true,"retry_after_ms":1000`,
			`completed 1 "page of job 7"`,
			`failed 1 sending=5 true`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("the events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

package a

import (
	"context"
	"fmt"
	"maps"
	"math/rand"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"example.com/helper"
	"github.com/odradek/odradek/workflow"
)

var (
	count int                          // changes
	rates = map[string]int{"eur": 100} // does not
)

var _ = workflow.Define("literal", func(ctx workflow.Context, n int) (int, error) {
	return int(time.Now().Unix()), nil // want `time.Now knows the machine's clock: use workflow.Now\(ctx\)`
})

var _ = workflow.NewLocalTask("io", func(ctx context.Context, n int) (int, error) {
	_, err := os.ReadFile("x") // a handler: it is not workflow code
	return int(time.Now().Unix()), err
})

func Run(ctx workflow.Context, m map[string]int) (int, error) { // want Run:"impure: time.Sleep knows"
	time.Sleep(1)                  // want `time.Sleep knows the machine's clock`
	_ = time.Duration(1).String()
	_ = workflow.Now(ctx).Unix()
	_ = rand.Intn(7)               // want `rand.Intn is another number in replay: use workflow.Rand\(ctx\)`
	_ = workflow.Rand(ctx).Intn(7)
	_ = rand.New(rand.NewSource(1)).Intn(7)
	go helper.Pure(1)              // want `a go statement starts what replay does not know: use workflow.Go`
	workflow.Go(ctx, func(ctx workflow.Context) { fmt.Println("x") }) // want `fmt.Println does I/O`
	ch := make(chan int)
	ch <- 1                        // want `a channel is for goroutines`
	<-ch                           // want `a channel is for goroutines`
	select {                       // want `select chooses by chance: use workflow.Select`
	case <-ch:
	default:
	}
	for range ch { // want `a channel is for goroutines`
	}
	sum := 0
	for _, v := range m { // want `a range over a map has another order in replay: range over slices.Sorted`
		sum += v
	}
	for _, v := range m { //odradek:allow the order does not matter: it sums
		sum += v
	}
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		sum += m[k]
	}
	for k := range maps.Keys(m) { // want `maps.Keys has another order in replay`
		_ = k
	}
	_, _ = os.ReadFile("x")      // want `os.ReadFile does I/O: use a task, or a local task`
	_, _ = http.Get("x")         // want `http.Get does I/O: use a task`
	_ = http.StatusText(404)
	var mu sync.Mutex
	mu.Lock()                    // want `sync.Lock is for goroutines`
	_ = context.Background()     // want `context.Background is not the run's`
	count++                      // want `package variable count changes, and is shared by all runs`
	_ = rates["eur"]
	helper.Stamp()               // want `helper.Stamp is not for workflow code \(time.Now knows the machine's clock\)`
	return called() + helper.Pure(sum), nil
}

func called() int { // want called:"impure: time.Since knows"
	return int(time.Since(time.Time{})) // want `time.Since knows the machine's clock`
}

func notCalled() int { count = 7; return int(time.Now().Unix()) } // want notCalled:"impure: package variable count"

// Package workflowtest runs workflows in a test, without a broker and in virtual time: a
// process of a month takes milliseconds.
//
//	env := workflowtest.New(t, billing.Definition)
//	workflowtest.Handle(env, billing.GetConsumption, func(q billing.ConsumptionQuery) (billing.Consumption, error) { ... })
//	workflowtest.SignalAfter(env, 70*24*time.Hour, billing.Unsubscribe, billing.Unsubscription{Reason: "moved"})
//	sum, err := workflowtest.Run[billing.Summary](env, billing.Subscription{ ... })
//
// What runs is the engine's own step over a store in memory: retries and their pauses,
// timers, cancellation, continued runs and refused payloads are the real ones. Time
// stands still while code runs and jumps to whatever comes next.
//
// With CrashEachStep the run is thrown away after every step and rebuilt from its
// history, as after a crash: code that is not deterministic is stuck there, which fails
// the test.
package workflowtest

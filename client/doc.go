// Package client starts workflows, signals them and awaits their results, from Go.
//
// There are two ways with one interface, Client. HTTP asks any instance of the
// engine; its answers say what was applied. Kafka needs only the brokers: commands
// are records, and results are the closing events on the history topic, which one
// reader takes for the whole process.
//
//	                      HTTP                         Kafka
//	Start returns when    the start is applied         the record is acknowledged
//	a refused start       is Start's error             is Result's error (dead letter)
//	a refused signal      is Signal's error            is a dead letter, nobody is told
//	Result of a run that
//	closed long ago       is there                     never comes: only what closes
//	                                                   after Start or Attach is seen
//
// Start, Signal and Handle are typed:
//
//	h, err := client.Start[billing.Subscription, billing.Summary](ctx, c, "billing.monthly", "customer-7", sub)
//	err = client.Signal(ctx, c, "customer-7", billing.Unsubscribe, billing.Unsubscription{Reason: "moved"})
//	sum, err := h.Result(ctx)
//
// Invariants, cited by number in code and tests:
//
//   - K1 A command that is sent again has the command ID that it had (I1): whatever
//     was lost on the way, it is applied once. Commands without an ID get one.
//   - K2 An error is *Error, with a stable code, or *FailedError, for a run that
//     failed; or it wraps the context's error.
//   - K3 Nothing grows with what nobody waits for: a handle that is dropped is
//     forgotten.
package client

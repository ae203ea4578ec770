// Package apis is four HTTP APIs as a company might have them: consumption, payment,
// invoice and email, each with paths, field names and manners of its own. They are
// the far side of the demo and of the tests that kill everything else.
//
// Each keeps a ledger on disk: JSON lines that are only appended, one for every
// request, fsynced before the request is answered. So what an API has done and
// answered can be judged afterwards, whatever happened to its callers or to itself.
//
//	request with a new Idempotency-Key      the effect is done, its answer recorded
//	the same key and the same request       no effect; the recorded answer again
//	the same key with another request       422: somebody reused a key
//	no key                                  400
//
// Invariants, cited by number in code and tests:
//
//	L1  A key has at most one effect, also over restarts.
//	L2  What was answered stands in the ledger.
//	L3  A line that a crash cut short is of a request that nobody was answered; the
//	    next start removes it.
//
// Faults can be asked for: refusals before the effect, and answers that are lost
// after it (Faults).
package apis

// Package worker runs the tasks of services: Go handlers typed by the workflow's
// own task values, and HTTP bindings from a file (package httpbinding).
//
// A service's tasks stand on the topic <ns>.tasks.<service>, which the members of
// the consumer group <ns>.<service> share. A record makes this way:
//
//	service.go    poll       records of the partitions that this member holds
//	partition.go  register   new, finished by a former holder, or suspect (W3)
//	commit.go     announce   what may be started is said in a commit first
//	pool.go       run        at most as many calls as the service has permits
//	call.go       call       one attempt: a handler's result or its failure
//	report.go     produce    to <ns>.events, the partition of the workflow's slot
//	offsets.go    finish     the result is acknowledged: the watermark may move
//	commit.go     commit     watermark, and in its metadata what lies beyond (W3)
//
// drain.go is how a partition ends: its calls may finish, within bounds (W5), and a
// last commit says what is done.
//
// What holds:
//
//  1. An offset is committed only when the results of all records below it are
//     acknowledged. A worker that dies loses nothing: its group redelivers.
//  2. A record that a commit says is finished is never started again.
//  3. A record is started only after a commit announced that it may be, so that a
//     later holder knows which records could have killed the former one. A record
//     whose start ended that many workers (Config.StartsMax) is not started again:
//     it is reported as quarantined, and the engine makes no attempt until an
//     operator's retry.
//  4. A worker makes one attempt and reports completed or failed; it never retries
//     a call. Retries are durable and the engine's.
//  5. A call that is cut off because its partition moves or the worker stops
//     reports nothing: the next holder makes the attempt again, with the same key.
//
// The worker never decides about a workflow, never writes anything but events, and
// drops no record: what it cannot read it reports, as a failure of the task that it
// names, or as a dead letter.
package worker

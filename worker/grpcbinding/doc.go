// Package grpcbinding makes service-worker handlers of a file: for each operation of a
// service it says which unary method of a gRPC API the task's input is sent to, and what the
// answer means for the workflow. docs/bindings-grpc.md is its description for users.
//
// Messages are built of descriptors, a file that the bindings name: no code is generated for
// them. A task's input is the request as JSON, as Protobuf maps it, and its result the answer.
//
// What holds, whatever stands in a payload: the address comes from the file, and what is
// dialled is checked as for HTTP bindings; metadata is one value each; a call and its answer
// are bounded in time, bytes and depth; all attempts of a task carry the same idempotency
// key; TLS is used unless the file says plaintext; the library retries nothing by itself.
package grpcbinding

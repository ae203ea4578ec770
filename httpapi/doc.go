// Package httpapi is the JSON API of an engine instance: start, signal, read.
//
// openapi.yaml is the contract; package api is generated from it. The package
// knows the engine through the interface Engine alone, and promises:
//
//   - H1 Any instance answers any request. What belongs to another instance is
//     forwarded once, marked with ForwardedHeader, so that two instances that
//     disagree about an owner never send a request in circles: who gets a marked
//     request and is not the owner answers 421, and the first one asks again.
//   - H2 A command is sent again only with the command ID that it had (I1), so
//     asking twice applies once. Who sends none gets one made.
//   - H3 200 and 201 mean applied and settled. 504 means that nobody knows: the same
//     request again tells.
//   - H4 Identity comes from the bearer token, never from a body. An operation
//     without a role is refused to everybody.
//   - H5 Everything is bounded: bodies, waits, pages, the time spent on finding an
//     owner. A list that misses partitions says so and names them.
//   - H6 Payloads and tokens are never logged.
package httpapi

//go:generate ./generate.sh

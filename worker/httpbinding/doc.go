// Package httpbinding makes service-worker handlers of a file: for each operation
// of a service it says which HTTP request the task's input becomes, and what the
// answer means for the workflow. docs/bindings.md is its description for users.
//
// What holds, whatever stands in a payload:
//
//  1. Scheme, host and port of a request come from the file: where an answer says at which
//     address its work is asked for, that is of base_url or poll.hosts. A payload fills path
//     segments, query values, header values and the body; it cannot leave the path's
//     segment, add a header line or name another host.
//  2. Bodies are built as values and encoded once; nothing is pasted into text.
//  3. The address that is dialled is checked after its name was resolved: link-local
//     and metadata addresses never, private ranges only if the file allows them,
//     loopback only if the file's base_url says loopback.
//  4. Redirects are answers, never followed. Proxies of the environment are not used.
//  5. A request and its answer are bounded in time, bytes and JSON depth.
//  6. All attempts of a task carry the same Idempotency-Key.
//
// A file is either valid as a whole or refused with all its problems, each with
// line, key and fix.
package httpbinding

// Package binding is what the kinds of bindings have in common: how a file is read and its
// problems are told, templates and expressions over payloads, secrets by reference, which
// addresses may be dialled, and how a service is authenticated to. docs/bindings.md is the
// description for users.
package binding

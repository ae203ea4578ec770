// Package billing bills customers month by month over four HTTP APIs that a company
// already has: consumption, payment, invoice, email.
//
// Monthly is the process. A subscription starts one run of it, with the customer's
// number as workflow ID say; the run sleeps until the month ends, asks for the
// consumption, the payment, the invoice and the email, and sleeps again, until the
// customer unsubscribes or the contract ends. Whatever crashes meanwhile, each API
// is asked with one idempotency key per customer and month.
//
// When a month ends is the calendar's business (Calendar). Where the APIs are and
// how they are called stands in bindings.yaml. Package apis has such APIs, with
// ledgers, for the demo and the tests; cmd/billingapis serves them, and cmd/demo
// shows the whole in a terminal.
package billing

package binding

import "time"

// Limits of a file. What an API needs beyond them belongs into a handler in Go.
const (
	ConcurrencyDefault   = 32
	ConcurrencyMax       = 1024
	TimeoutDefault       = 30 * time.Second
	TimeoutMax           = 24 * time.Hour
	RetryAfterMaxDefault = 10 * time.Minute
	RetryAfterMaxMax     = 24 * time.Hour
	AnswerBytesDefault   = 1 << 20
	AnswerBytesMax       = 16 << 20
)

// Package workflow stands in for the SDK.
package workflow

import (
	"math/rand"
	"time"
)

type Context struct{}

func Now(Context) time.Time                 { return time.Time{} }
func Go(Context, func(ctx Context))         {}
func Rand(Context) *rand.Rand               { return nil }
func Define(string, any, ...any) struct{}   { return struct{}{} }
func NewLocalTask(string, any) struct{}     { return struct{}{} }

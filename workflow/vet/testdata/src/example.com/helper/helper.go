package helper

import "time"

func Stamp() int64 { return inner() }

func inner() int64 { return time.Now().Unix() }

func Pure(n int) int { return n + 1 }

package one

import "testing"

func TestPasses(t *testing.T) { t.Run("sub", func(t *testing.T) {}) }
func TestFails(t *testing.T)  { t.Fail() }
func TestSkips(t *testing.T)  { t.Skip() }
func TestOther(t *testing.T)  {}

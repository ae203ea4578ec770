package kafkatest

import (
	"errors"
	"os"
	"testing"
)

// RequireEnv makes tests without a real Kafka fail rather than be left out.
const RequireEnv = "ODRADEK_REQUIRE_KAFKA"

// OffEnv set to off leaves real Kafka out, whatever RequireEnv says: the race
// detector makes it slow, and sees nothing of it.
const OffEnv = "ODRADEK_KAFKA"

// Start gives a test a cluster that ends with it (K2).
func Start(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	if os.Getenv(OffEnv) == "off" {
		t.Skip("real Kafka is left out: " + OffEnv + "=off")
	}
	c, err := Launch(t.Context(), cfg)
	if errors.Is(err, ErrMissing) && os.Getenv(RequireEnv) == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Require leaves a test out that starts its cluster in another process, on a host
// that cannot run Kafka (K2).
func Require(t testing.TB) {
	t.Helper()
	err := Fetch(t.Context())
	if errors.Is(err, ErrMissing) && os.Getenv(RequireEnv) == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

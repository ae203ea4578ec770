package kafka

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestCheckBroker: below what exactly once needs a broker is refused, with the level
// found, the one that is needed and how to raise it; a flag makes warnings of it (P4).
func TestCheckBroker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		level             int16 // of transaction.version; -1: not finalized
		produce, versions int16 // highest versions of requests
		refused           string
		warned            string
	}{
		"4.4":                  {2, 13, 5, "", ""},
		"4.1":                  {2, 13, 4, "", "older than Kafka 4.4"},
		"4.0":                  {2, 12, 4, "older than Kafka 4.1; upgrade them, or start with --allow-weaker-broker", "older than Kafka 4.1"},
		"version 1":            {1, 13, 5, "the finalized transaction.version is 1, 2 is needed; raise it with `kafka-features.sh", "transaction.version is 1"},
		"no feature":           {-1, 13, 5, "the finalized transaction.version is 0, 2 is needed", "transaction.version is 0"},
		"old, and not raised":  {0, 9, 3, "the finalized transaction.version is 0", "older than Kafka 4.1"},
		"no produce, whatever": {2, -1, 5, "older than Kafka 4.1", "older than Kafka 4.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, cl := fakeCluster(t)
			if _, _, err := Brokers(t.Context(), cl); err != nil { // the client has its versions
				t.Fatal(err)
			}
			answer(cluster, kmsg.ApiVersions, func(_ kmsg.Request, r kmsg.Response) {
				resp := r.(*kmsg.ApiVersionsResponse)
				add := func(key kmsg.Key, highest int16) {
					if highest >= 0 {
						k := kmsg.NewApiVersionsResponseApiKey()
						k.ApiKey, k.MaxVersion = key.Int16(), highest
						resp.ApiKeys = append(resp.ApiKeys, k)
					}
				}
				add(kmsg.Produce, c.produce)
				add(kmsg.ApiVersions, c.versions)
				if c.level >= 0 {
					f := kmsg.NewApiVersionsResponseFinalizedFeature()
					f.Name, f.MaxVersionLevel, f.MinVersionLevel = transactionFeature, c.level, 0
					resp.FinalizedFeatures = append(resp.FinalizedFeatures, f)
				}
			}, func(req kmsg.Request) kmsg.Response { return req.ResponseKind() })
			warnings, err := CheckBroker(t.Context(), cl, false)
			switch {
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused != "" && (!errors.Is(err, ErrBroker) || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("%v, want %q", err, c.refused)
			}
			if c.refused != "" {
				if warnings, err = CheckBroker(t.Context(), cl, true); err != nil {
					t.Errorf("with --allow-weaker-broker: %v", err)
				}
			}
			if got := strings.Join(warnings, "\n"); c.warned == "" && got != "" || !strings.Contains(got, c.warned) {
				t.Errorf("warned %q, want %q", got, c.warned)
			}
		})
	}
}

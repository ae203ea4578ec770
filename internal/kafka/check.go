package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrBroker is wrapped by CheckBroker for a cluster that is refused.
var ErrBroker = errors.New("this Kafka cluster cannot keep exactly once")

const transactionFeature = "transaction.version"

// A broker does not tell its release, but the versions of requests that it takes.
// These came with it (franz-go v1.22.2, pkg/kversion/requests.go).
const (
	produceOf41     = 13 // KIP-516
	apiVersionsOf44 = 5  // KIP-1242
)

// CheckBroker refuses a cluster whose finalized transaction.version is below 2, or
// that is older than Kafka 4.1: below, a late request can join a later transaction,
// and writes are lost or doubled (P4). allowWeaker makes warnings of that. A cluster
// below 4.4 is warned of, with the names of its faults.
func CheckBroker(ctx context.Context, cl *kgo.Client, allowWeaker bool) (warnings []string, err error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "odradek", "1"
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("ask the broker for its versions: %w", err)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, fmt.Errorf("ask the broker for its versions: %w", err)
	}
	level := int16(0)
	for _, f := range resp.FinalizedFeatures {
		if f.Name == transactionFeature {
			level = f.MaxVersionLevel
		}
	}
	refuse := func(found, fix string) error {
		if allowWeaker {
			warnings = append(warnings, found+": a late request may be taken for a later transaction; "+fix)
			return nil
		}
		return fmt.Errorf("%w: %s; %s, or start with --allow-weaker-broker and accept that writes may be lost or doubled after a failure", ErrBroker, found, fix)
	}
	if level < 2 {
		if err := refuse(fmt.Sprintf("the finalized %s is %d, 2 is needed", transactionFeature, level),
			"raise it with `kafka-features.sh --bootstrap-server HOST:PORT upgrade --feature transaction.version=2` (Kafka 4.0 or later)"); err != nil {
			return nil, err
		}
	}
	switch {
	case maxVersion(resp, kmsg.Produce) < produceOf41:
		if err := refuse("the brokers are older than Kafka 4.1", "upgrade them"); err != nil {
			return nil, err
		}
	case maxVersion(resp, kmsg.ApiVersions) < apiVersionsOf44:
		warnings = append(warnings, "the brokers are older than Kafka 4.4: at the boundary of a producer's epochs they may refuse or forget a transaction (KAFKA-19367, KAFKA-20090, KAFKA-20357); upgrade when you can")
	}
	return warnings, nil
}

// maxVersion is the highest version of a request that the broker takes; -1: none.
func maxVersion(resp *kmsg.ApiVersionsResponse, key kmsg.Key) int16 {
	for i := range resp.ApiKeys {
		if resp.ApiKeys[i].ApiKey == key.Int16() {
			return resp.ApiKeys[i].MaxVersion
		}
	}
	return -1
}

package kafka

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// ErrBroker is wrapped by CheckBroker for a cluster that is refused.
var ErrBroker = errors.New("this Kafka cluster cannot keep exactly once")

const transactionFeature = "transaction.version"

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
	guess := kversion.FromApiVersionsResponse(resp).VersionGuess()
	major, minor, known := release(guess)
	switch older := func(m int) bool { return known && (major < 4 || major == 4 && minor < m) }; {
	case older(1):
		if err := refuse("the brokers are older than Kafka 4.1 (they look like "+guess+")", "upgrade them"); err != nil {
			return nil, err
		}
	case older(4):
		warnings = append(warnings, "the brokers are older than Kafka 4.4: at the boundary of a producer's epochs they may refuse or forget a transaction (KAFKA-19367, KAFKA-20090, KAFKA-20357); upgrade when you can")
	}
	return warnings, nil
}

// release reads major and minor from a guess such as "v4.1", "at least v4.4" or
// "between v4.0 and v4.1", whose first number counts. A guess without a number is
// of a broker that franz-go does not know.
func release(guess string) (major, minor int, known bool) {
	m := releaseRE.FindStringSubmatch(guess)
	if m == nil {
		return 0, 0, false
	}
	major, err1 := strconv.Atoi(m[1])
	minor, err2 := strconv.Atoi(m[2])
	return major, minor, err1 == nil && err2 == nil
}

var releaseRE = regexp.MustCompile(`v(\d+)\.(\d+)`)

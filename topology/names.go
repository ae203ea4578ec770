// Package topology is the shape of a deployment as values: the names of topics,
// groups and transactional ids, the slot of a workflow ID, and the table that maps
// slots to partitions. It is pure.
package topology

import (
	"fmt"
	"regexp"

	"github.com/odradek/odradek/record"
)

// Names makes the names of a deployment from its namespace.
type Names struct {
	Namespace string
}

// nameRE is what may become the name of a topic, a file or a label: 1 to 100 of
// these characters, no dot in front. CheckName refuses ".." apart.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`)

// CheckName refuses a namespace, service or operation that cannot be part of the
// name of a topic, a file or a label.
func CheckName(what, name string) error {
	for i := 1; i < len(name); i++ {
		if name[i] == '.' && name[i-1] == '.' {
			return fmt.Errorf("%s %q has \"..\": use letters, digits, and single . _ or -", what, name)
		}
	}
	if !nameRE.MatchString(name) {
		return fmt.Errorf("%s %q is not a name: use 1 to 100 letters, digits, . _ or -, with no dot in front", what, name)
	}
	return nil
}

// engineGroup ends the name of the engine's group, beside those of the services.
const engineGroup = "engine"

// CheckService is CheckName for a service. The group of one named engine would be the
// engine's.
func CheckService(name string) error {
	if name == engineGroup {
		return fmt.Errorf("service %q would have the consumer group of the engine's instances: choose another name", name)
	}
	return CheckName("service", name)
}

// Topic is the name of a topic. TopicTasks needs Tasks.
func (n Names) Topic(t record.Topic) string { return n.Namespace + "." + t.String() }

// Tasks is the task topic of a service.
func (n Names) Tasks(service string) string { return n.Namespace + ".tasks." + service }

// Group is the consumer group of the engine's instances: membership only.
func (n Names) Group() string { return n.Namespace + "." + engineGroup }

// ServiceGroup is the consumer group of a service's workers; part of the protocol (W3).
func (n Names) ServiceGroup(service string) string { return n.Namespace + "." + service }

// TransactionalID is the i-th of the three transactional ids of a lane (P1).
func (n Names) TransactionalID(partition int32, i int) string {
	return fmt.Sprintf("%s.%d.%c", n.Namespace, partition, 'a'+i)
}

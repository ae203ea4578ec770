package kafkatest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Config says which cluster to start. The zero value is one broker in a temporary
// folder.
type Config struct {
	Brokers int // 1 (default) or 3, each broker and controller
	// Dir keeps data and logs; it must be empty. Empty: a temporary folder, removed
	// by Close.
	Dir string
	// Secure adds a listener with SSL and SCRAM-SHA-512: Cluster.Secure.
	Secure bool
	// HeapMB is each JVM's heap in MiB. Default 1024 with one broker, 640 with three.
	HeapMB int
	// Settings are broker settings beyond ours, under Kafka's names.
	Settings map[string]string
	// Features are finalized features at another level than Kafka's newest, such as
	// transaction.version.
	Features map[string]int
}

func (c Config) withDefaults() Config {
	if c.Brokers == 0 {
		c.Brokers = 1
	}
	if c.HeapMB == 0 {
		c.HeapMB = 1024
		if c.Brokers > 1 {
			c.HeapMB = 640
		}
	}
	return c
}

func (c Config) validate() error {
	if c.Brokers != 1 && c.Brokers != 3 {
		return fmt.Errorf("a cluster of %d brokers: choose 1 or 3", c.Brokers)
	}
	if c.Dir == "" {
		return nil
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("folder %s is not empty: give one for a new cluster", c.Dir)
	}
	return nil
}

// properties is the text of a broker's server.properties.
func (c *Cluster) properties(b *broker) string {
	copies := min(c.cfg.Brokers, 3)
	var controllers []string
	for _, o := range c.brokers {
		controllers = append(controllers, o.controller)
	}
	p := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  fmt.Sprint(b.id),
		"controller.quorum.bootstrap.servers":      strings.Join(controllers, ","),
		"listeners":                                fmt.Sprintf("PLAINTEXT://%s,CONTROLLER://%s", b.addr, b.controller),
		"listener.security.protocol.map":           "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
		"inter.broker.listener.name":               "PLAINTEXT",
		"controller.listener.names":                "CONTROLLER",
		"log.dirs":                                 filepath.Join(b.dir, "data"),
		"offsets.topic.replication.factor":         fmt.Sprint(copies),
		"offsets.topic.num.partitions":             "3",
		"transaction.state.log.replication.factor": fmt.Sprint(copies),
		"transaction.state.log.min.isr":            fmt.Sprint(max(1, copies-1)),
		"transaction.state.log.num.partitions":     "6",
		"default.replication.factor":               fmt.Sprint(copies),
		"min.insync.replicas":                      fmt.Sprint(max(1, copies-1)),
		"group.initial.rebalance.delay.ms":         "0", // a test's group is complete when it is
		"auto.create.topics.enable":                "false",
		"controlled.shutdown.enable":               "true",
	}
	if c.cfg.Secure {
		p["listeners"] += ",SECURE://" + b.secure
		p["sasl.enabled.mechanisms"] = "SCRAM-SHA-512"
		p[jaas] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		p["ssl.keystore.type"] = "PEM"
		p["ssl.keystore.location"] = c.keystore()
	}
	maps.Copy(p, c.cfg.Settings)
	var s strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&s, "%s=%s\n", k, p[k])
	}
	return s.String()
}

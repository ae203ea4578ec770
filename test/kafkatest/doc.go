// Package kafkatest gives tests a real Apache Kafka: 1 or 3 brokers in KRaft mode,
// one JVM each, no Docker, on free loopback ports.
//
//	K1 The jars come from Maven into a cache folder, once: `.kafka/` of this module or
//	   ODRADEK_KAFKA_DIR. Later starts need no network.
//	K2 Without Java or Maven a test is left out with a message that says how to get
//	   them; with ODRADEK_REQUIRE_KAFKA=1 it fails instead.
//	K3 A cluster is ready when all its brokers know each other and a transactional
//	   producer was initialised: what a test then measures is not Kafka's first start.
//	K4 Brokers end with the test's process, however that ends (package proc).
//
// `go run ./test/kafka` starts the same cluster for people.
package kafkatest

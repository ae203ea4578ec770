package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/odradek/odradek/internal/spell"
)

const (
	envPrefix = "ODRADEK_"
	envKafka  = envPrefix + "KAFKA_"
	envConfig = envPrefix + "CONFIG"
)

// serviceLinkRE matches the variables that Kubernetes sets for each Service: one that
// is named odradek-kafka gives ODRADEK_KAFKA_PORT, which nobody wrote.
var serviceLinkRE = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// loadEnv takes the environment's values. Variables ODRADEK_* that are no key belong
// to something else, unless they look like a misspelt key.
func (l *loader) loadEnv() {
	values := map[string]entry{}
	known := []string{envConfig, envPrefix + "BOOTSTRAP_SERVERS"}
	for _, k := range keys() {
		known = append(known, k.env())
		if v, ok := l.env[k.env()]; ok {
			values[k.name] = entry{v, k.env()}
		}
	}
	l.layer(values)
	if v, ok := l.env[envPrefix+"BOOTSTRAP_SERVERS"]; ok {
		l.kafka[bootstrap] = entry{v, envPrefix + "BOOTSTRAP_SERVERS"}
	}
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) || serviceLinkRE.MatchString(name) {
			continue
		}
		if kafka, ok := strings.CutPrefix(name, envKafka); ok && kafka != "" {
			l.loadKafkaEnv(name, kafka)
			continue
		}
		if near := spell.Within(name, known, 2); near != "" {
			l.problem(Problem{Source: name, Key: name, What: "this variable is not known", Fix: fmt.Sprintf("Did you mean %q?", near)})
		}
	}
}

// loadKafkaEnv takes ODRADEK_KAFKA_SASL_PASSWORD for sasl.password, and
// ODRADEK_KAFKA_SASL_PASSWORD_FILE for the file that it is in.
func (l *loader) loadKafkaEnv(name, kafka string) {
	value := l.env[name]
	if k, ok := strings.CutSuffix(kafka, "_FILE"); ok {
		if _, both := l.env[envKafka+k]; both {
			l.problem(Problem{Source: name, Key: name, What: envKafka + k + " is set too", Fix: "Unset one of the two"})
			return
		}
		kafka, value = k, "${file:"+value+"}"
	}
	l.kafka[strings.ToLower(strings.ReplaceAll(kafka, "_", "."))] = entry{value, name}
}

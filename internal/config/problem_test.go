package config_test

import "testing"

func TestProblems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file string
		env, args  []string
		want       string
	}{
		{"unknown key", "namespace: a\ndata_dri: b\n", nil, nil, `FILE:2: data_dri: this key is not known. Did you mean "data_dir"?`},
		{"unknown nested", "admin:\n  listn: :1\n", nil, nil, `FILE:2: admin.listn: this key is not known. Did you mean "listen"?`},
		{"key of another level", "listen: :1\npartitions: 3\n", nil, nil, `FILE:1: listen: this key is not known. Did you mean "admin.listen"?
FILE:2: partitions: this key is not known. Did you mean "topics.partitions"?`},
		{"unlike every key", "store: {colour: red}\n", nil, nil, `FILE:1: store.colour: this key is not known. Known here are cache_bytes, mem_table_bytes, wal.`},
		{"dotted", "api.listen: 127.0.0.1:1\nkafka.bootstrap.servers: x:1\n", nil, nil, `FILE:1: api.listen: this key is not known. Write api: and, indented below it, listen:.
FILE:2: kafka.bootstrap.servers: this key is not known. Write kafka: and, indented below it, bootstrap.servers:.`},
		{"kafka nested", "kafka:\n  bootstrap:\n    servers: x:1\n", nil, nil, `FILE:2: kafka.bootstrap: it has keys below it. Write Kafka's names in one line, such as bootstrap.servers:.`},
		{"kafka list", "kafka:\n  bootstrap.servers: [a, b]\n", nil, nil, `FILE:2: kafka.bootstrap.servers: it is a list. Allowed: one value; lists with commas in it.`},
		{"kafka without value", "kafka:\n  sasl.password:\n", nil, nil, `FILE:2: kafka.sasl.password: it is without a value. Allowed: one value; lists with commas in it.`},
		{"kafka no brokers", "", []string{"ODRADEK_BOOTSTRAP_SERVERS= , "}, nil, `ODRADEK_BOOTSTRAP_SERVERS: kafka.bootstrap.servers: it is empty. Allowed: brokers as host:port, with commas between them.`},
		{"twice", "data_dir: a\nnamespace: b\ndata_dir: c\n", nil, nil, `FILE:3: data_dir: it is in line 1 too. Remove one of the two.`},
		{"twice below", "log: {level: info, level: warn}\n", nil, nil, `FILE:1: log.level: it is in line 1 too. Remove one of the two.`},
		{"section is a value", "api: 127.0.0.1:8080\n", nil, nil, `FILE:1: api: it is a single value, not keys with values. Write each as key: value, indented below it, with a space after the colon.`},
		{"section is a list", "log: [info]\n", nil, nil, `FILE:1: log: it is a list, not keys with values. Write each as key: value, indented below it, with a space after the colon.`},
		{"file is a value", "hello\n", nil, nil, `FILE:1: config: it is a single value, not keys with values. Write each as key: value, indented below it, with a space after the colon.`},
		{"value is a section", "data_dir: {a: b}\n", nil, nil, `FILE:1: data_dir: it is keys with values. Allowed: a directory.`},
		{"value is missing", "topics:\n  partitions:\n", nil, nil, `FILE:2: topics.partitions: it is without a value. Allowed: 1 to 4096.`},
		{"bad name", "namespace: ../x\n", nil, nil, `FILE:1: namespace: "../x" is not a name. Allowed: 1 to 100 letters, digits, . _ or -, with no dot in front.`},
		{"empty text", "data_dir: ' '\n", nil, nil, `FILE:1: data_dir: it is empty. Allowed: a directory.`},
		{"control character", "data_dir: \"a\\u001b[1m\"\n", nil, nil, `FILE:1: data_dir: "a\x1b[1m" has control characters. Allowed: a directory.`},
		{"not a bool", "store: {wal: yes}\n", nil, nil, `FILE:1: store.wal: "yes" is not a bool. Allowed: true or false.`},
		{"not a number", "topics: {partitions: many}\n", nil, nil, `FILE:1: topics.partitions: "many" is not a whole number. Allowed: 1 to 4096.`},
		{"a fraction", "topics: {partitions: 2.5}\n", nil, nil, `FILE:1: topics.partitions: "2.5" is not a whole number. Allowed: 1 to 4096.`},
		{"out of range", "topics: {partitions: 0, replication_factor: 40000}\n", nil, nil, `FILE:1: topics.partitions: "0" is out of range. Allowed: 1 to 4096.
FILE:1: topics.replication_factor: "40000" is out of range. Allowed: 0 to 32.`},
		{"overflow", "cache: {runs: 99999999999999999999}\n", nil, nil, `FILE:1: cache.runs: "99999999999999999999" is out of range. Allowed: 1 to 10000000.`},
		{"no unit", "retention: {completed: 3600}\n", nil, nil, `FILE:1: retention.completed: "3600" has no unit. Allowed: a duration of at least 1m, such as 168h or 90m.`},
		{"unknown unit", "retention: {completed: 7d}\n", nil, nil, `FILE:1: retention.completed: "7d" is not a duration. Allowed: a duration of at least 1m, such as 168h or 90m.`},
		{"too short", "retention: {summary: 59s}\n", nil, nil, `FILE:1: retention.summary: "59s" is too short. Allowed: a duration of at least 1m, such as 168h or 90m.`},
		{"size unit", "store: {cache_bytes: 64MB}\n", nil, nil, `FILE:1: store.cache_bytes: "64MB" is not a number of bytes, KiB, MiB, GiB or TiB. Allowed: a size from 1MiB to 1TiB, such as 64MiB.`},
		{"size range", "store: {cache_bytes: 17179869185GiB, mem_table_bytes: 1KiB}\n", nil, nil, `FILE:1: store.cache_bytes: "17179869185GiB" is out of range. Allowed: a size from 1MiB to 1TiB, such as 64MiB.
FILE:1: store.mem_table_bytes: "1KiB" is out of range. Allowed: a size from 1MiB to 1TiB, such as 96MiB.`},
		{"not one of", "log: {level: trace, format: xml}\n", nil, nil, `FILE:1: log.level: "trace" is not one of them. Allowed: debug, info, warn or error.
FILE:1: log.format: "xml" is not one of them. Allowed: auto, text or json.`},
		{"listen", "api: {listen: localhost}\nadmin: {listen: ':99999'}\n", nil, nil, `FILE:1: api.listen: "localhost" is not host:port. Allowed: host:port, such as 127.0.0.1:8080; :8080 is every address.
FILE:2: admin.listen: ":99999" is not host:port. Allowed: host:port, such as 127.0.0.1:8080; :8080 is every address.`},
		{"advertise", "api: {advertise: '0.0.0.0:8080'}\n", nil, nil, `FILE:1: api.advertise: "0.0.0.0:8080" is not an address that others can reach. Allowed: host:port, both given.`},
		{"open to everybody", "api:\n  listen: :8080\n", nil, nil, `FILE:2: api.listen: ":8080" is reachable from other machines, and nobody needs a token. Add api.tokens, listen on 127.0.0.1, or set api.insecure if something else guards it.`},
		{"open by a flag", "", nil, []string{"--api-listen=10.0.0.1:80"}, `--api-listen: api.listen: "10.0.0.1:80" is reachable from other machines, and nobody needs a token. Add api.tokens, listen on 127.0.0.1, or set api.insecure if something else guards it.`},
		{"flag", "", nil, []string{"--retention-completed=1x"}, `--retention-completed: retention.completed: "1x" is not a duration. Allowed: a duration of at least 1m, such as 168h or 90m.`},
		{"environment", "", []string{"ODRADEK_LOG_LEVEL=loud"}, nil, `ODRADEK_LOG_LEVEL: log.level: "loud" is not one of them. Allowed: debug, info, warn or error.`},
		{"covered value", "log: {level: loud}\n", nil, []string{"--log-level=info"}, `FILE:1: log.level: "loud" is not one of them. Allowed: debug, info, warn or error.`},
		{"misspelt variable", "", []string{"ODRADEK_DATADIR=x"}, nil, `ODRADEK_DATADIR: this variable is not known. Did you mean "ODRADEK_DATA_DIR"?`},
		{"variable and its file", "", []string{"ODRADEK_KAFKA_SASL_PASSWORD=x", "ODRADEK_KAFKA_SASL_PASSWORD_FILE=y"}, nil, `ODRADEK_KAFKA_SASL_PASSWORD_FILE: ODRADEK_KAFKA_SASL_PASSWORD is set too. Unset one of the two.`},
		{"missing secret", "kafka:\n  sasl.password: ${env:NO}\n  sasl.username: ${file:/no/such}\n", []string{"NO="}, nil, `FILE:2: kafka.sasl.password: the environment variable "NO" is missing or empty. Set it before the engine starts.
FILE:3: kafka.sasl.username: the file cannot be read: open /no/such: no such file or directory. Check the path and who may read it.`},
		{"broken reference", "kafka: {sasl.password: '${vault:x}'}\n", nil, nil, `FILE:1: kafka.sasl.password: a ${ in it begins no reference. Write ${env:NAME} or ${file:PATH}; put a value that has ${ itself into a file.`},
		{"empty secret file", "kafka: {sasl.password: '${file:/dev/null}'}\n", nil, nil, `FILE:1: kafka.sasl.password: the file "/dev/null" is empty. Write the secret into it.`},
		{"too large a file", "kafka: {sasl.password: '${file:/dev/zero}'}\n", nil, nil, `FILE:1: kafka.sasl.password: the file cannot be read: "/dev/zero" has more than 1048576 bytes. Check the path and who may read it.`},
		{"service without partitions", "topics: {partitions: 4, services: {a: 5, b: x, .c: 1, d: [1]}}\n", nil, nil, `FILE:1: topics.services.d: it is a list. Allowed: a number of task partitions.
FILE:1: topics.services..c: ".c" is not a name. Allowed: 1 to 100 letters, digits, . _ or -, with no dot in front.
FILE:1: topics.services.a: "5" is out of range. Allowed: 1 to 4, which is topics.partitions.
FILE:1: topics.services.b: "x" is not a whole number. Allowed: 1 to 4, which is topics.partitions.`},
		{"tokens are no list", "api: {tokens: {name: a}}\n", nil, nil, `FILE:1: api.tokens: it is keys with values. Allowed: a list of name, role, and hash or token. Begin each token with a dash: - name: grafana.`},
		{"token is a value", "api: {tokens: [abc]}\n", nil, nil, `FILE:1: api.tokens[0]: it is a single value. Allowed: name, role, and hash or token.`},
		{"token fields", "api:\n  tokens:\n    - nam: a\n      role: root\n", nil, nil, `FILE:3: api.tokens[0]: there is a key that is not known. Did you mean "name"?
FILE:3: api.tokens[0].name: it is missing. Allowed: 1 to 100 letters, digits, . _ or -, with no dot in front.
FILE:4: api.tokens[0].role: "root" is not a role. Allowed: viewer, operator or admin.
FILE:3: api.tokens[0]: it needs one of hash and token. Write hash: with the SHA-256 of the token in hex, or token: ${env:NAME} or ${file:PATH}.`},
		{"token twice", "api:\n  tokens:\n    - {name: a, role: admin, hash: 12}\n    - {name: a, role: admin, token: plain}\n    - {name: b, role: admin, token: '${env:SHORT}'}\n", []string{"SHORT=abc"}, nil, `FILE:3: api.tokens[0].hash: it is not a SHA-256 hash. Allowed: 64 hex digits. Make it with: printf %s "$TOKEN" | sha256sum.
FILE:4: api.tokens[1].name: "a" is the name of another token, at FILE:3. Give each its own name.
FILE:4: api.tokens[1].token: it is not a reference. Allowed: ${env:NAME} or ${file:PATH}. Take it out of the file, or write its hash.
FILE:5: api.tokens[2].token: the token is too short. Make one of at least 16 bytes, such as with: openssl rand -hex 32.`},
		{"not YAML", "a: b\n c: d\n", nil, nil, `FILE:2: config: this is not YAML: mapping values are not allowed in this context. Check the indentation, and quote values with special characters.`},
		{"tab", "api:\n\tlisten: x\n", nil, nil, `FILE:2: config: this is not YAML: found character that cannot start any token. Check the indentation, and quote values with special characters.`},
		{"broken anchor", "kafka:\n  sasl.password: *hunter2\n", nil, nil, `FILE:2: config: this is not YAML: a value that begins with * and is not quoted, or a broken anchor. Check the indentation, and quote values with special characters.`},
		{"second document", "data_dir: a\n---\ndata_dir: b\n", nil, nil, `FILE:2: config: a second document begins here. Put everything into one; remove the line ---.`},
		{"equals sign", "kafka:\n  sasl.password=hunter2: x\n", nil, nil, `FILE:2: kafka.sasl.password: this is not a key. Allowed: letters, digits, . _ and -. Write key: value, with a space after the colon.`},
		{"all at once", "data_dri: a\nlog: {level: loud}\n", []string{"ODRADEK_STORE_WAL=1"}, []string{"--cache-runs=-1"}, `FILE:1: data_dri: this key is not known. Did you mean "data_dir"?
FILE:2: log.level: "loud" is not one of them. Allowed: debug, info, warn or error.
ODRADEK_STORE_WAL: store.wal: "1" is not a bool. Allowed: true or false.
--cache-runs: cache.runs: "-1" is out of range. Allowed: 1 to 10000000.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := load(t, tt.file, tt.env, tt.args...)
			if err == nil || err.Error() != tt.want {
				t.Errorf("%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const canary = "CANARY-hunter2-CANARY"

// No secret is in an error or a report, wherever and however wrongly it is written (G3).
func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"S=" + canary, "ODRADEK_KAFKA_SSL_KEY_PASSWORD=" + canary, "ODRADEK_KAFKA_SASL_PASSWORD_FILE=" + path, "ODRADEK_KAFKA_SASL_OAUTHBEARER_CLIENT_CREDENTIALS_CLIENT_SECRET=" + canary}
	for _, file := range []string{
		"kafka:\n  sasl.password: §\n  Sasl.Jaas.Config: x password=\"§\";\n  ssl.keystore.key: §\n  sasl.username: ${env:S}\n  client.id: §${env:S}\n  ssl.key.location: x${env:S}\n  odd: user password=§\n  some.url: https://u:§@h\n",
		"api: {tokens: [{name: a, role: admin, token: '${env:S}'}, {name: b, role: viewer, token: '${file:" + path + "}'}]}\n",
		"api: {tokens: [{name: a, role: admin, token: §}, {name: b, role: viewer, hash: §}, §, [§], {§: §, name: [§]}]}\n",
		"api: {tokens: §}\n", "api: §\n", "kafka: §\n", "§\n", "[§]\n", "kafka: [§]\n",
		"kafka: {sasl.password: [§], ssl.key.password: {a: §}, bootstrap.servers: {a: §}}\n",
		"kafka: {sasl.password: '§${'}\n", "kafka: {sasl.password: '§${env:NO}', x: '${env:S}${file:/no}'}\n",
		"kafka:\n  sasl.password=§: x\n", "kafka:\n  sasl.password §\n", "kafka:\n  sasl.password: *§\n", "kafka:\n  sasl.password: &§\n",
		"kafka:\n  sasl.password: '§\n", "kafka:\n  sasl.password: \"§\\q\"\n", "kafka:\n  sasl.password: !§!x §\n", "kafka:\n  sasl.password: %§\n", "kafka:\n  sasl.password: §: §\n", "kafka:\n  sasl.password: @§\n",
		"kafka: {sasl.password: §, sasl.password: §}\n", "kafka: {? [§] : §}\n", "kafka: {? {a: §} : §}\n",
		"data_dri: §\nsasl.password: §\napi: {token: §, tokens: [{tokn: §}]}\n", "kafka:\n sasl.password: §\n---\nC\n",
	} {
		_, report, err := load(t, strings.ReplaceAll(strings.ReplaceAll(file, "§", canary), "${env:NO}", "${env:NO_SUCH}"), env)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if strings.Contains(report, "hunter2") || strings.Contains(message, "hunter2") {
			t.Errorf("%q:\n%s\n%s", file, message, report)
		}
	}
}

// The loader never panics, and never shows a password.
func FuzzLoad(f *testing.F) {
	shippedFile, err := os.ReadFile(shipped)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(shippedFile), "ODRADEK_DATA_DIR=x", "1h")
	f.Add("a: &x {b: *x}\n<<: *x\nkafka: *x", "ODRADEK_KAFKA_=", "")
	f.Add("api: {tokens: [{name: a, role: admin, token: '${env:S}'}]}", "S=0123456789abcdef0", "-1")
	f.Fuzz(func(t *testing.T, file, variable, value string) {
		if strings.Contains(file+variable, "/dev/") { // reading those may block
			return
		}
		env := []string{variable, "ODRADEK_KAFKA_SASL_PASSWORD=" + canary}
		c, report, err := load(t, file, env, "--retention-completed="+value)
		if err == nil && (c.Kafka["bootstrap.servers"] == "" || c.Namespace == "" || c.Topics.Partitions < 1 || c.Retention.Completed < 1) {
			t.Errorf("accepted %+v", c)
		}
		if strings.Contains(report, canary) || err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%v\n%s", err, report)
		}
	})
}

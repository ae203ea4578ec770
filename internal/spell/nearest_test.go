package spell

import "testing"

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"bootstrap.servers", "security.protocol", "sasl.username"}
	for unknown, want := range map[string]string{
		"bootstrap.server": "bootstrap.servers", "boostrap.servers": "bootstrap.servers", "SECURITY.PROTOCOL": "security.protocol",
		"sasl.usernmae": "sasl.username", "acks": "", "": "",
	} {
		if got := Nearest(unknown, known); got != want {
			t.Errorf("Nearest(%q) is %q, want %q", unknown, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	known := []string{"ODRADEK_DATA_DIR", "ODRADEK_API_LISTEN"}
	for unknown, want := range map[string]string{"ODRADEK_DATADIR": "ODRADEK_DATA_DIR", "ODRADEK_SERVER": "", "ODRADEK_DATA": ""} {
		if got := Within(unknown, known, 2); got != want {
			t.Errorf("Within(%q) is %q, want %q", unknown, got, want)
		}
	}
}

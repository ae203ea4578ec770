package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProblems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file string
		env, args  []string
		want       string
	}{
		{"unknown key", "namespace: a\ndata_dri: b\n", nil, nil, `FILE:2: data_dri: this key is not known. Did you mean "data_dir"?`},
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

var _ = strings.Repeat
var _ = os.Stat
var _ = filepath.Join

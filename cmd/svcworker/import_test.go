package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImportCommand writes, says what differs, and tells what is wrong.
func TestImportCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	call := func(args ...string) (int, string, string) {
		return run(t, append([]string{"import", "openapi"}, args...)...)
	}
	const doc = "../../worker/importer/testdata/shop.yaml"
	if code, _, errs := call(doc, "--out", dir, "--check"); code != exitProblems {
		t.Errorf("nothing is there: %d %s", code, errs)
	}
	code, out, errs := call(doc, "--out", dir)
	if code != exitOK || !strings.Contains(out, "4 of 5 operations are mapped") || !strings.Contains(out, "not mapped: upload (POST /photos): the body is image/png") || !strings.Contains(out, "${env:WEB_SHOP_KEY} is the API key") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if code, out, _ := call(doc, "--out", dir, "--check"); code != exitOK || !strings.Contains(out, "the files are current") {
		t.Errorf("current: %d %s", code, out)
	}
	bindings := filepath.Join(dir, "bindings.yaml")
	b, err := os.ReadFile(bindings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bindings, []byte(strings.Replace(string(b), "result: none", "result: body", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ = call(doc, "--out", dir, "--check", "-o", "json", "--include", "deleteOrder")
	var line importLine
	if err := json.Unmarshal([]byte(out), &line); err != nil || code != exitProblems || line.OK || line.Mapped != 1 || len(line.Files) != 2 {
		t.Errorf("%d %+v %v", code, line, err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no out":     {[]string{doc}, "--out is missing"},
		"no file":    {[]string{"nowhere.yaml", "--out", dir}, "nowhere.yaml"},
		"no match":   {[]string{doc, "--out", dir, "--include", "x*"}, "no operation was chosen"},
		"no OpenAPI": {[]string{"import.go", "--out", dir}, "cannot be read"},
	} {
		if code, _, errs := call(c.args...); code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%s: %d %s", name, code, errs)
		}
	}
}

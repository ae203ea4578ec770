package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/httpapitest"
	"github.com/odradek/odradek/job"
)

// TestCommandsOfTheJobsPage: each can be given, in that order, and its Go makes a job.
func TestCommandsOfTheJobsPage(t *testing.T) {
	t.Parallel()
	server := func() string {
		s, err := httpapi.New(httpapi.Config{Engine: httpapitest.NewCluster(4).Instance(0), InstanceID: "one"})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(s)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	page, err := os.ReadFile("../../docs/guide-jobs.md")
	if err != nil {
		t.Fatal(err)
	}
	addr, n := server(), 0
	for _, part := range strings.Split(string(page), "```sh\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		for line := range strings.Lines(block) {
			words, err := exec.Command("sh", "-c", "printf '%s\\0' "+line).Output() // as a shell splits them
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			args := strings.Split(strings.TrimSuffix(string(words), "\x00"), "\x00")
			var stdout, stderr bytes.Buffer
			a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, page: pageSize}
			if code := a.run(t.Context(), append(args[1:], "--server", addr)); code != exitOK || args[0] != "odradek" {
				t.Errorf("%s: exit code %d: %s", line, code, stderr.String())
			}
			n++
		}
	}
	if n < 10 {
		t.Errorf("the page has %d commands", n)
	}
	c, err := client.NewHTTP(client.HTTPConfig{URL: server()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	j, _, err := c.CreateJob(ctx, "mend", client.JobSpec{Operation: job.Retry, Filter: `type = "order" and status = failed`, Reason: "the API is mended"}, "")
	if err != nil || j.Report == nil || j.Report.Spec.Rate != 50 {
		t.Errorf("%+v, %v", j, err)
	}
}

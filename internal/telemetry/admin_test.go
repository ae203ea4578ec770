package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/internal/pulse"
)

func call(h http.Handler, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestProbes(t *testing.T) {
	t.Parallel()
	broken := func() error { return errors.New("broken") }
	fine := func() error { return nil }
	for _, c := range []struct {
		name                string
		cfg                 AdminConfig
		stopping            bool
		live, ready         int
		liveText, readyText string
	}{
		{"nothing to ask", AdminConfig{}, false, 200, 200, "ok", "ok"},
		{"all well", AdminConfig{Live: fine, Ready: fine}, false, 200, 200, "ok", "ok"},
		{"not ready is not dead", AdminConfig{Live: fine, Ready: broken}, false, 200, 503, "ok", "broken"},
		{"dead", AdminConfig{Live: broken, Ready: fine}, false, 503, 200, "broken", "ok"},
		{"stopping is not dead", AdminConfig{Live: fine, Ready: fine}, true, 200, 503, "ok", "stopping"},
		{"stopping asks nobody", AdminConfig{}, true, 200, 503, "ok", "stopping"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := Admin(c.cfg)
			if c.stopping {
				p.Stopping()
			}
			if code, text := call(p, "GET", "/livez", ""); code != c.live || !strings.Contains(text, c.liveText) {
				t.Errorf("livez: %d %s", code, text)
			}
			if code, text := call(p, "GET", "/readyz", ""); code != c.ready || !strings.Contains(text, c.readyText) {
				t.Errorf("readyz: %d %s", code, text)
			}
		})
	}
}

func TestInstanceProbes(t *testing.T) {
	t.Parallel()
	lanes := func(states ...processor.State) (out []processor.LaneStatus) {
		for i, s := range states {
			out = append(out, processor.LaneStatus{Partition: int32(i), State: s, RestoreLeft: 7})
		}
		return out
	}
	for _, c := range []struct {
		name   string
		status processor.InstanceStatus
		ready  string // what readyz says
	}{
		{"not a member", processor.InstanceStatus{Instance: "one", Generation: -1}, "instance one is not a member"},
		{"no partitions", processor.InstanceStatus{Ready: true}, "ok"},
		{"running", processor.InstanceStatus{Ready: true, Lanes: lanes(processor.StateRunning)}, "ok"},
		{"an incident waits for an operator", processor.InstanceStatus{Ready: true, Lanes: lanes(processor.StateRunning, processor.StateIncident)}, "ok"},
		{"restoring", processor.InstanceStatus{Lanes: lanes(processor.StateRunning, processor.StateRestoring)}, "1 restoring (7 records left)"},
		{"fenced", processor.InstanceStatus{Lanes: lanes(processor.StateFenced)}, "0 fenced"},
		{"many", processor.InstanceStatus{Lanes: lanes(make([]processor.State, 13)...)}, "9 waiting, 3 more"},
		{"not ready for a reason of its own", processor.InstanceStatus{Instance: "one", Lanes: lanes(processor.StateRunning)}, "instance one is not ready"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			admin := NewEngine(nil).Admin(&instance{status: c.status}, Log{})
			if code, text := call(admin, "GET", "/livez", ""); code != 200 { // whatever Kafka does
				t.Errorf("livez: %d %s", code, text)
			}
			want := 503
			if c.ready == "ok" {
				want = 200
			}
			if code, text := call(admin, "GET", "/readyz", ""); code != want || !strings.Contains(text, c.ready) {
				t.Errorf("readyz: %d %s, want %d %s", code, text, want, c.ready)
			}
		})
	}
}

func TestStatusOfAnInstance(t *testing.T) {
	t.Parallel()
	e := NewEngine(nil)
	i := &instance{status: processor.InstanceStatus{Instance: "one", Addr: "one:80", Generation: 2, Lanes: []processor.LaneStatus{
		{Partition: 1, State: processor.StateRestoring, Since: time.Unix(1, 0).UTC(), Error: "why", Takeovers: 3, RestoreLeft: 4, LagCommands: 5},
	}}}
	i.status.Lanes[0].Positions.Commands.Offset = 6
	code, text := call(e.Admin(i, Log{}), "GET", "/status", "")
	var got bytes.Buffer
	if err := json.Compact(&got, []byte(text)); err != nil || code != 200 {
		t.Fatalf("%d %s: %v", code, text, err)
	}
	want := `{"instance":"one","addr":"one:80","generation":2,"ready":false,"abandoned_goroutines":0,"lanes":[{"partition":1,"state":"restoring","since":"1970-01-01T00:00:01Z",` +
		`"error":"why","takeovers":3,"restore_left_records":4,"inputs":{"commands":{"offset":6,"lag_records":5},"events":{"offset":0,"lag_records":0},"internal":{"offset":0,"lag_records":0}}}]}`
	if got.String() != want {
		t.Errorf("got  %s\nwant %s", got.String(), want)
	}
}

func TestStatusThatIsNoJSON(t *testing.T) {
	t.Parallel()
	if code, text := call(Admin(AdminConfig{Status: func() any { return func() {} }}), "GET", "/status", ""); code != 500 || !strings.Contains(text, "JSON") {
		t.Errorf("%d %s", code, text)
	}
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		code       int
		level      slog.Level
		text       string
	}{
		{"down", "debug\n", 200, slog.LevelDebug, "debug"},
		{"up", "ERROR", 200, slog.LevelError, "error"},
		{"unknown", "loud", 400, slog.LevelInfo, `"loud" is not known: use debug`},
		{"empty", "", 400, slog.LevelInfo, "use debug"},
		{"too long", strings.Repeat("x", levelBytesMax+1), 400, slog.LevelInfo, "longer than 64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			log, level, err := Logger(&b, FormatJSON, "info", false)
			if err != nil {
				t.Fatal(err)
			}
			admin := Admin(AdminConfig{Level: level, Log: log})
			if code, text := call(admin, "PUT", "/loglevel", c.body); code != c.code || !strings.Contains(text, c.text) {
				t.Errorf("%d %s", code, text)
			}
			if level.Level() != c.level {
				t.Errorf("level is %v", level.Level())
			}
			if said := strings.Contains(b.String(), "log level changed"); said != (c.code == 200) {
				t.Errorf("the change was said: %v", said)
			}
			if _, text := call(admin, "GET", "/loglevel", ""); strings.TrimSpace(text) != strings.ToLower(c.level.String()) {
				t.Errorf("GET says %s", text)
			}
		})
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	e := NewEngine(nil)
	all := Admin(AdminConfig{Metrics: e.Handler(), Status: func() any { return 1 }, Level: new(slog.LevelVar)})
	none := Admin(AdminConfig{})
	for _, c := range []struct {
		method, path string
		all, none    int
	}{
		{"GET", "/metrics", 200, 404},
		{"GET", "/status", 200, 404},
		{"GET", "/loglevel", 200, 404},
		{"PUT", "/loglevel", 400, 404},
		{"POST", "/loglevel", 405, 404},
		{"POST", "/livez", 405, 405},
		{"GET", "/", 404, 404},
	} {
		if code, _ := call(all, c.method, c.path, ""); code != c.all {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, code, c.all)
		}
		if code, _ := call(none, c.method, c.path, ""); code != c.none {
			t.Errorf("%s %s without pages: %d, want %d", c.method, c.path, code, c.none)
		}
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format string
		tty    bool
		json   bool
	}{
		{"", false, true}, {"", true, false}, {FormatAuto, false, true}, {FormatAuto, true, false},
		{FormatJSON, true, true}, {FormatJSON, false, true}, {FormatText, false, false}, {FormatText, true, false},
	} {
		var b bytes.Buffer
		log, level, err := Logger(&b, c.format, "warn", c.tty)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("no")
		if b.Len() > 0 {
			t.Error("info is written at warn")
		}
		level.Set(slog.LevelInfo)
		log.Info("yes")
		if got := json.Valid(b.Bytes()); got != c.json || b.Len() == 0 {
			t.Errorf("format %q, tty %v: %s", c.format, c.tty, b.String())
		}
	}
	for _, c := range []struct{ format, level, want string }{
		{"xml", "", "use auto, json or text"}, {"", "loud", "use debug, info, warn or error"},
	} {
		if _, _, err := Logger(io.Discard, c.format, c.level, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// TestEngineIsAliveWhileItsLoopsTick: one that stands still is dead, one that has ended
// is not.
func TestEngineIsAliveWhileItsLoopsTick(t *testing.T) {
	t.Parallel()
	now := time.Now()
	e := NewEngine(nil)
	e.pulse = pulse.New(pulseLate, func() time.Time { return now })
	p := e.Admin(&instance{}, Log{})
	l := e.Listener()
	livez := func(want int, text string) {
		t.Helper()
		if code, body := call(p, "GET", "/livez", ""); code != want || !strings.Contains(body, text) {
			t.Errorf("livez: %d %s, want %d with %q", code, body, want, text)
		}
	}
	livez(200, "ok")
	l.Beat("report")
	l.Beat("step of partition 3")
	now = now.Add(pulseLate)
	l.Beat("report")
	now = now.Add(time.Second)
	livez(503, "step of partition 3")
	l.End("step of partition 3")
	livez(200, "ok")
}

package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// Log is the process's logger and what changes its level.
type Log struct {
	*slog.Logger
	Level *slog.LevelVar
}

// Formats that Logger takes.
const (
	FormatAuto = "auto" // text on a terminal, JSON elsewhere
	FormatJSON = "json"
	FormatText = "text"
)

// Logger makes the process's logger. Format is one of the Format constants, empty
// means FormatAuto; level is debug, info, warn or error, empty means info. tty says
// whether w is a terminal. The LevelVar changes the level while the process runs (see
// AdminConfig). The error names what is wrong and what may stand there.
func Logger(w io.Writer, format, level string, tty bool) (*slog.Logger, *slog.LevelVar, error) {
	lv := new(slog.LevelVar)
	if level != "" {
		l, err := parseLevel(level)
		if err != nil {
			return nil, nil, err
		}
		lv.Set(l)
	}
	opts := &slog.HandlerOptions{Level: lv}
	switch format {
	case FormatJSON:
		tty = false
	case FormatText:
		tty = true
	case FormatAuto, "":
	default:
		return nil, nil, fmt.Errorf("log format %q is not known: use auto, json or text", format)
	}
	if tty {
		return slog.New(slog.NewTextHandler(w, opts)), lv, nil
	}
	return slog.New(slog.NewJSONHandler(w, opts)), lv, nil
}

// parseLevel takes slog's spelling, offsets such as info+2 too.
func parseLevel(s string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return 0, fmt.Errorf("log level %q is not known: use debug, info, warn or error", s)
	}
	return l, nil
}

package replay

import (
	"context"
	"log/slog"
)

// Logger is the run's logger, silent in replay and once the run is dropped.
func (h *host) Logger() *slog.Logger {
	if h.logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	id := &h.live.id
	return slog.New(liveOnly{h.logger.Handler(), h}).With("workflow_id", id.WorkflowID, "run_id", id.Run.String(), "workflow_type", id.Type)
}

// liveOnly lets through what is logged in a live turn.
type liveOnly struct {
	slog.Handler
	h *host
}

// Enabled refuses what replay and evicted code would log (R4).
func (l liveOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return !l.h.silent.Load() && !l.h.live.co.Stopped() && l.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the refusal.
func (l liveOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return liveOnly{l.Handler.WithAttrs(attrs), l.h}
}

// WithGroup keeps the refusal.
func (l liveOnly) WithGroup(name string) slog.Handler {
	return liveOnly{l.Handler.WithGroup(name), l.h}
}

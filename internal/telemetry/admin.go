package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
)

// AdminConfig says what the admin pages show. Every field may be nil.
type AdminConfig struct {
	// Metrics serves /metrics: Engine.Handler or Worker.Handler. Nil: no such page.
	Metrics http.Handler
	// Live is nil while the process's loops tick, see Pulse. It must not ask Kafka: a
	// broker's outage is no reason to restart a process.
	Live func() error
	// Ready is nil while work may be sent here: partitions are restored. See
	// LanesReady and WorkerReady. From Pages.Stopping on it is not asked.
	Ready func() error
	// Status is what /status shows as JSON. It must hold no secrets and no payloads.
	Status func() any
	// Level is what /loglevel shows and changes. Nil: no such page.
	Level *slog.LevelVar
	// Log hears changes of the level. Nil is silent.
	Log *slog.Logger
}

// levelBytesMax bounds the body of PUT /loglevel.
const levelBytesMax = 64

// Pages are the admin pages of a process.
type Pages struct {
	http.Handler
	stopping atomic.Bool
}

// Stopping makes /readyz say that the process is going; /livez still says ok.
func (p *Pages) Stopping() { p.stopping.Store(true) }

var errStopping = errors.New("the process is stopping")

// Admin serves GET /metrics, /livez, /readyz, /status and /loglevel, and PUT /loglevel
// with a level (debug, info, warn, error) as its body. It asks nobody who they are: it
// belongs on an address that only operators and probes reach.
func Admin(cfg AdminConfig) *Pages {
	log := orSilent(cfg.Log)
	mux := http.NewServeMux()
	p := &Pages{Handler: mux}
	mux.HandleFunc("GET /livez", probe(cfg.Live))
	mux.HandleFunc("GET /readyz", probe(func() error {
		if p.stopping.Load() {
			return errStopping
		}
		if cfg.Ready == nil {
			return nil
		}
		return cfg.Ready()
	}))
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	}
	if cfg.Status != nil {
		mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
			b, err := json.MarshalIndent(cfg.Status(), "", "  ")
			if err != nil {
				http.Error(w, "the status cannot be written as JSON: "+err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write(append(b, '\n'))
		})
	}
	if cfg.Level != nil {
		mux.HandleFunc("GET /loglevel", func(w http.ResponseWriter, _ *http.Request) { sayLevel(w, cfg.Level) })
		mux.HandleFunc("PUT /loglevel", func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, levelBytesMax))
			if err != nil {
				http.Error(w, fmt.Sprintf("the body is not a level: it is longer than %d bytes, or cut off", levelBytesMax), http.StatusBadRequest)
				return
			}
			level, err := parseLevel(strings.TrimSpace(string(b)))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			was := cfg.Level.Level()
			cfg.Level.Set(level)
			// At the level itself: said whatever the new level is.
			log.Log(r.Context(), max(level, slog.LevelInfo), "log level changed", "from", was.String(), "to", level.String())
			sayLevel(w, cfg.Level)
		})
	}
	return p
}

func sayLevel(w http.ResponseWriter, level *slog.LevelVar) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, strings.ToLower(level.Level().String()))
}

// probe answers 200 and ok, or 503 and why not.
func probe(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if check != nil {
			if err := check(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	}
}

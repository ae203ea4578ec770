package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof" // its handlers go to http.DefaultServeMux, which only serveProfiles serves
	"os"
	"path/filepath"
	"sync"
)

// profileEnv is the address on which a role serves its profiles.
const profileEnv = "ODRADEK_BENCH_PROFILE"

func serveProfiles(addr string) {
	if addr == "" {
		return
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: profiles:", err)
		return
	}
	go func() { _ = http.Serve(ln, nil) }() // until the process ends
}

// takeProfiles fetches CPU and allocation profiles of roles while they work.
func takeProfiles(ctx context.Context, dir string, seconds int, addrs map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, 2*len(addrs))
	for role, addr := range addrs {
		for _, kind := range []string{"profile", "allocs"} {
			wg.Go(func() {
				url := fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", addr, kind, seconds)
				errs <- fetch(ctx, url, filepath.Join(dir, role+"."+kind))
			})
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func fetch(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %w", url, resp.Status, err)
	}
	return os.WriteFile(file, b, 0o644)
}

// Package bindings reads the services of a configuration, of whichever kind: HTTP APIs
// (httpbinding) and gRPC APIs (grpcbinding).
package bindings

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/grpcbinding"
	"github.com/odradek/odradek/worker/httpbinding"
)

// File is a valid bindings file, by kinds.
type File struct {
	HTTP *httpbinding.File
	GRPC *grpcbinding.File
	// Sum is of the file's bytes and those of the files that it names.
	Sum string
}

// Load reads a file.
func Load(path string, opts binding.Options) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read bindings: %w", err)
	}
	return Parse(path, b, opts)
}

// Parse reads the services of a file; other top-level keys are the worker's configuration
// and not looked at. name stands in messages, and files that the services name are looked for
// beside it. The error is binding.Problems, those of all kinds.
func Parse(name string, data []byte, opts binding.Options) (*File, error) {
	http, errHTTP := httpbinding.Parse(name, data, opts)
	grpc, errGRPC := grpcbinding.Parse(name, data, opts)
	var problems binding.Problems
	for _, err := range []error{errHTTP, errGRPC} {
		if of, ok := errors.AsType[binding.Problems](err); ok {
			problems = append(problems, of...)
		}
	}
	if len(problems) > 0 { // what is wrong with the file as a whole is told by each kind
		return nil, slices.Compact(problems.Sorted())
	}
	h := sha256.New()
	h.Write(data)
	for _, d := range grpc.Descriptors {
		h.Write(d.Sum[:])
	}
	return &File{HTTP: http, GRPC: grpc, Sum: string(h.Sum(nil))}, nil
}

// Names are those of the services, by kind.
func (f *File) Names() (out []string) {
	for _, s := range f.HTTP.Services {
		out = append(out, s.Name)
	}
	for _, s := range f.GRPC.Services {
		out = append(out, s.Name)
	}
	return out
}

// Sum is the sum of a file as it is now, and of the files that it named when it was read as f.
func Sum(path string, f *File) string {
	h := sha256.New()
	b, _ := os.ReadFile(path) // what cannot be read has no bytes: Load says why
	h.Write(b)
	for _, d := range f.GRPC.Descriptors {
		b, _ := os.ReadFile(d.Path)
		sum := sha256.Sum256(b)
		h.Write(sum[:])
	}
	return string(h.Sum(nil))
}

// Live is a file that may be replaced while its handlers are in use.
type Live struct {
	http *httpbinding.Live
	grpc *grpcbinding.Live
}

// NewLive serves a file. Close ends its connections.
func NewLive(f *File) (*Live, error) {
	grpc, err := grpcbinding.NewLive(f.GRPC)
	if err != nil {
		return nil, err
	}
	return &Live{httpbinding.NewLive(f.HTTP), grpc}, nil
}

// Handlers are those of the file's tasks, and the settings of its services.
func (l *Live) Handlers() ([]worker.Handler, map[string]worker.Service) {
	handlers, services := l.http.Handlers()
	more, of := l.grpc.Handlers()
	maps.Copy(services, of)
	return append(handlers, more...), services
}

// Replace takes another file for the calls that begin from now on; one that asks for what
// only a restart can do is refused, and the old one stays.
func (l *Live) Replace(f *File) error {
	if err := errors.Join(l.http.Fits(f.HTTP), l.grpc.Fits(f.GRPC)); err != nil {
		return err
	}
	if err := l.grpc.Replace(f.GRPC); err != nil {
		return err
	}
	return l.http.Replace(f.HTTP)
}

// Close ends the connections behind their last calls.
func (l *Live) Close() { l.grpc.Close() }

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/grpcbinding"
	"github.com/odradek/odradek/worker/importer"
)

func (a *app) importGRPC() *cobra.Command {
	var opts importer.ProtoOptions
	var dir, out, output string
	var paths []string
	var check bool
	cmd := &cobra.Command{
		Use:   "grpc [FILE.protoset]",
		Short: "Import the descriptors of a gRPC API",
		Long: `Import the descriptors of a gRPC API: a set, as buf build or protoc
--descriptor_set_out writes it with its imports, or with --proto the .proto files below a
directory. Into the directory --out go

  bindings.yaml       how svcworker calls each method; put it into its configuration
  <service>.protoset  the descriptors, beside the file that names them
  <package>/tasks.go  a Go package for workflow code: request and result structs, and a task
                      for each unary method, with the comments of the proto files

and the methods that could not be mapped are named with the reason: those that stream. Run
again, it updates all: tasks that were changed by hand in bindings.yaml stay as they are, and
so does all beside the tasks.

Exit codes: 0 ok, 1 with --check: the files are not current, 2 the input or a flag is wrong.`,
		Example: `  svcworker import grpc payment.protoset --out internal/payment
  svcworker import grpc --proto api/proto --include 'acme.payment.*' --out internal/payment
  svcworker import grpc payment.protoset --out internal/payment --check`,
		Args: cobra.MaximumNArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&dir, "proto", "", "directory of .proto files, instead of a set")
	f.StringArrayVar(&paths, "proto-path", nil, "directory where imports of --proto are looked for, too; may be given again")
	f.StringVar(&out, "out", "", "directory to write to; required")
	f.StringArrayVar(&opts.Include, "include", nil, "only methods whose name, acme.v1.Payments.Request or Payments.Request, fits this pattern; may be given again")
	f.StringVar(&opts.Service, "service", "", "name of the service; default: made of the proto package")
	f.StringVar(&opts.Package, "package", "", "name of the Go package; default: made of the service's")
	f.BoolVar(&check, "check", false, "write nothing, say what differs")
	f.StringVarP(&output, "output", "o", "text", "text or json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case out == "":
			return exitError{exitUsage, errors.New("--out is missing: it names the directory to write to")}
		case output != "text" && output != "json":
			return exitError{exitUsage, fmt.Errorf("--output is %q: use text or json", output)}
		case (len(args) == 1) == (dir != ""):
			return exitError{exitUsage, errors.New("name a set of descriptors, or a directory with --proto")}
		}
		m, err := readProto(cmd.Context(), args, dir, paths, opts)
		if err != nil {
			return exitError{exitUsage, err}
		}
		line, err := importProto(m, out, check)
		if err != nil {
			return exitError{exitUsage, err}
		}
		return a.importReport(line, output, check)
	}
	return cmd
}

// readProto reads a set, or a directory.
func readProto(ctx context.Context, args []string, dir string, paths []string, opts importer.ProtoOptions) (m *importer.ProtoImport, err error) {
	if dir != "" {
		if m, err = importer.ProtoDir(ctx, dir, paths, opts); err != nil {
			err = fmt.Errorf("%s: %w", dir, err)
		}
		return m, err
	}
	b, err := readDocument(args[0])
	if err == nil {
		m, err = importer.ProtoSet(b, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", args[0], err)
	}
	return m, nil
}

func importProto(m *importer.ProtoImport, out string, check bool) (line importLine, err error) {
	line = importLine{Service: m.Service, Operations: len(m.Methods) + len(m.Skipped), Mapped: len(m.Methods), Skipped: m.Skipped, OK: true}
	if line.Operations == 0 {
		return line, errors.New("no method was chosen: look at --include and the services of the proto files")
	}
	if line.Mapped == 0 {
		return line, fmt.Errorf("no method can be mapped: %s %s", m.Skipped[0].Name, m.Skipped[0].Reason)
	}
	bindings, files, err := line.generate(m, out, m.Package)
	line.Notes = m.Notes // of what was generated, too
	if err != nil {
		return line, err
	}
	set, err := m.Descriptors()
	if err != nil {
		return line, err
	}
	files[filepath.Join(out, m.DescriptorsName())] = set
	if err := checkImported(files[bindings], m.DescriptorsName(), set); err != nil {
		return line, fmt.Errorf("what would be written to %s is not valid: %w", bindings, err)
	}
	return line, line.write(files, check)
}

// checkImported reads bindings as svcworker will, with their set beside them.
func checkImported(bindings []byte, name string, set []byte) error {
	dir, err := os.MkdirTemp("", "svcworker-import")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, name), set, 0o600); err != nil {
		return err
	}
	_, err = grpcbinding.Parse(filepath.Join(dir, "bindings.yaml"), bindings, binding.Options{WithoutSecrets: true})
	return err
}

package importer

import (
	"cmp"
	"context"
	"fmt"
	"go/format"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/bufbuild/protocompile"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/odradek/odradek/topology"
)

// ProtoOptions of an import of Protobuf descriptors. The zero value imports all of them.
type ProtoOptions struct {
	// Service is the service's name. Default: of the first method's package.
	Service string
	// Package is the Go package's name. Default: of Service.
	Package string
	// Include takes only methods whose name fits one of these patterns, as path.Match has
	// them: acme.payment.v1.Payments.Request or Payments.Request. Default: all.
	Include []string
}

// ProtoImport is what an import of Protobuf descriptors makes.
type ProtoImport struct {
	Service string
	Package string
	Methods []*Method // mapped, by name
	Skipped []Skipped // not mapped: those that stream
	Notes   []string  // what has to be looked at by hand

	files []protoreflect.FileDescriptor // that the methods need, imports first
	types *protoTypes
}

// Method is a unary method that was mapped.
type Method struct {
	Name    string // of the task
	GoName  string
	In, Out string // Go types

	desc protoreflect.MethodDescriptor
}

// ProtoSet reads the methods of a set of descriptors, which has its imports.
func ProtoSet(set []byte, opts ProtoOptions) (*ProtoImport, error) {
	fds := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(set, fds); err != nil {
		return nil, fmt.Errorf("this is not a FileDescriptorSet: %w", err)
	}
	files, err := protodesc.NewFiles(fds)
	if err != nil {
		return nil, fmt.Errorf("the set cannot be used, does it have its imports? %w", err)
	}
	var all []protoreflect.FileDescriptor
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		all = append(all, f)
		return true
	})
	return importProto(all, opts)
}

// ProtoDir reads the methods of the .proto files below a directory; imports are looked for
// there, then in the other directories, and Google's own types are there.
func ProtoDir(ctx context.Context, dir string, paths []string, opts ProtoOptions) (*ProtoImport, error) {
	var names []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(p, ".proto") {
			var name string
			if name, err = filepath.Rel(dir, p); err == nil {
				names = append(names, filepath.ToSlash(name))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no .proto file below %s", dir)
	}
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: append([]string{dir}, paths...)}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := c.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	var all []protoreflect.FileDescriptor
	for _, f := range files {
		all = append(all, f)
	}
	return importProto(all, opts)
}

func importProto(files []protoreflect.FileDescriptor, opts ProtoOptions) (*ProtoImport, error) {
	slices.SortFunc(files, func(a, b protoreflect.FileDescriptor) int { return cmp.Compare(a.Path(), b.Path()) })
	m := &ProtoImport{types: newProtoTypes()}
	short := map[string]int{} // how many methods are called Service.Method
	var all []protoreflect.MethodDescriptor
	for _, f := range files {
		for i := range f.Services().Len() {
			of := f.Services().Get(i).Methods()
			for j := range of.Len() {
				all = append(all, of.Get(j))
				short[shortName(of.Get(j))]++
			}
		}
	}
	slices.SortFunc(all, func(a, b protoreflect.MethodDescriptor) int { return cmp.Compare(a.FullName(), b.FullName()) })
	taken := map[string]bool{}
	for _, desc := range all {
		if !fits(opts.Include, string(desc.FullName()), shortName(desc)) {
			continue
		}
		if m.Service == "" {
			m.Service = cmp.Or(opts.Service, serviceName(desc))
		}
		name := shortName(desc)
		if short[name] > 1 {
			name = string(desc.FullName())
		}
		why := ""
		if desc.IsStreamingClient() || desc.IsStreamingServer() {
			why = "it streams, and a task is one request with one answer"
		} else if err := topology.CheckName("operation", name); err != nil {
			why = err.Error()
		}
		if why != "" {
			m.Skipped = append(m.Skipped, Skipped{name, "", string(desc.FullName()), why})
			continue
		}
		m.Methods = append(m.Methods, &Method{Name: name, GoName: unique(taken, exported(name)), desc: desc})
		m.need(desc.ParentFile())
	}
	if m.Service == "" {
		m.Service = cmp.Or(opts.Service, "api")
	}
	if err := topology.CheckService(m.Service); err != nil {
		return nil, err
	}
	m.Package = cmp.Or(opts.Package, packageName(m.Service))
	for _, method := range m.Methods {
		m.types.taken[method.GoName] = true
	}
	for _, method := range m.Methods {
		method.In, method.Out = m.types.message(method.desc.Input()), m.types.message(method.desc.Output())
	}
	return m, nil
}

// need adds a file behind its imports.
func (m *ProtoImport) need(f protoreflect.FileDescriptor) {
	if slices.ContainsFunc(m.files, func(g protoreflect.FileDescriptor) bool { return g.Path() == f.Path() }) {
		return
	}
	for i := range f.Imports().Len() {
		m.need(f.Imports().Get(i).FileDescriptor)
	}
	m.files = append(m.files, f)
}

func shortName(m protoreflect.MethodDescriptor) string {
	return string(m.Parent().Name()) + "." + string(m.Name())
}

func fits(patterns []string, names ...string) bool {
	for _, p := range patterns {
		for _, n := range names {
			if ok, err := path.Match(p, n); err == nil && ok {
				return true
			}
		}
	}
	return len(patterns) == 0
}

// serviceName is the last word of the method's package that is no version, or its service.
func serviceName(m protoreflect.MethodDescriptor) string {
	parts := strings.Split(string(m.ParentFile().Package()), ".")
	for len(parts) > 1 && isVersion(parts[len(parts)-1]) {
		parts = parts[:len(parts)-1]
	}
	return strings.ToLower(strings.ReplaceAll(cmp.Or(parts[len(parts)-1], string(m.Parent().Name())), "_", "-"))
}

func isVersion(s string) bool {
	return len(s) > 1 && s[0] == 'v' && unicode.IsDigit(rune(s[1]))
}

// Descriptors is the set that the bindings name: what the methods need, without comments.
func (m *ProtoImport) Descriptors() ([]byte, error) {
	set := &descriptorpb.FileDescriptorSet{}
	for _, f := range m.files {
		d := protodesc.ToFileDescriptorProto(f)
		d.SourceCodeInfo = nil
		set.File = append(set.File, d)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(set)
}

// DescriptorsName is the file of the set, beside the bindings.
func (m *ProtoImport) DescriptorsName() string { return m.Service + ".protoset" }

// Bindings is svcworker's file, as of Import.
func (m *ProtoImport) Bindings(old []byte) ([]byte, []Change, error) {
	tasks := make([]task, len(m.Methods))
	for i, method := range m.Methods {
		n := &yaml.Node{Kind: yaml.MappingNode}
		put(n, "method", text(string(method.desc.Parent().FullName())+"/"+string(method.desc.Name())))
		tasks[i] = task{method.Name, n}
	}
	return merged(old, m.Service, tasks, func(service *yaml.Node) {
		if find(service, "address") == nil {
			m.Notes = append(m.Notes, "descriptors do not say where the API is: set address")
		}
		for _, x := range []entry{{"kind", "grpc"}, {"address", "service.invalid:443"}, {"descriptors", m.DescriptorsName()}} {
			if find(service, x.name) == nil {
				put(service, x.name, text(x.value))
			}
		}
	})
}

// GoFile is the typed package.
func (m *ProtoImport) GoFile() ([]byte, error) {
	var tasks strings.Builder
	for _, method := range m.Methods {
		said := commentOf(method.desc)
		if said == "" {
			said = string(method.desc.FullName())
		}
		tasks.WriteString(comment("", method.GoName+": "+said))
		fmt.Fprintf(&tasks, "var %s = workflow.NewTask[%s, %s](%q, %q)\n\n", method.GoName, method.In, method.Out, m.Service, method.Name)
	}
	code := tasks.String() + m.types.source()
	var b strings.Builder
	b.WriteString("// Code generated by svcworker import grpc. DO NOT EDIT.\n\n")
	b.WriteString(comment("", "Package "+m.Package+" has the tasks of the service "+m.Service+"."))
	fmt.Fprintf(&b, "package %s\n\nimport (\n", m.Package)
	for _, x := range []struct{ name, used string }{{"encoding/json", "json."}, {"strconv", "strconv."}, {"time", "time.Time"}} {
		if strings.Contains(code, x.used) {
			fmt.Fprintf(&b, "\t%q\n", x.name)
		}
	}
	b.WriteString("\n\t\"github.com/odradek/odradek/workflow\"\n)\n\n" + code)
	out, err := format.Source([]byte(b.String()))
	if err != nil {
		return nil, fmt.Errorf("the package of service %s: %w", m.Service, err)
	}
	return out, nil
}

// commentOf is what stands above a declaration.
func commentOf(d protoreflect.Descriptor) string {
	return strings.TrimSpace(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments)
}

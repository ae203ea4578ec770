package binding

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
)

// fileBytesMax bounds a file.
const fileBytesMax = 4 << 20

// yamlLine finds the line in an error of the YAML parser.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// Services calls f for each service of a file, with the key and the value of its line; other
// top-level keys are the worker's configuration and not looked at.
func (d *Decoder) Services(data []byte, f func(k, v *yaml.Node)) {
	if len(data) > fileBytesMax {
		d.Problem(nil, "", fmt.Sprintf("the file has %d bytes, at most %d are read", len(data), fileBytesMax), "Split it over several workers")
		return
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	if err := dec.Decode(&doc); err != nil {
		if len(strings.TrimSpace(string(data))) == 0 {
			d.Problem(nil, "", "the file is empty", "Begin with services:")
			return
		}
		at := &yaml.Node{}
		m := yamlLine.FindStringSubmatch(err.Error())
		if m != nil {
			at.Line, _ = strconv.Atoi(m[1])
		}
		d.Problem(at, "", "this is not YAML: "+strings.TrimPrefix(err.Error(), strings.Join(m[:min(1, len(m))], "")), "Look for a wrong indent, a tab, or a missing quote")
		return
	}
	var more yaml.Node
	if dec.Decode(&more) == nil {
		d.Problem(&more, "", "the file holds a second document", "Remove everything from the second --- on")
		return
	}
	left := nodesMax
	if len(doc.Content) == 0 || !bounded(&doc, &left, 0) {
		d.Problem(&doc, "", "the file is empty, too large, or an alias contains itself", fmt.Sprintf("With aliases written out it may have %d values", nodesMax))
		return
	}
	found, services := false, 0
	d.Mapping(doc.Content[0], "", func(k, v *yaml.Node) {
		if k.Value != "services" {
			return
		}
		found = true
		d.Mapping(v, "services", func(k, v *yaml.Node) {
			services++
			if kind := Kind(v); kind != HTTP && kind != GRPC {
				d.Problem(v, k.Value+".kind", fmt.Sprintf("the kind is %q", kind), "Use http, which is the default, or grpc")
				return
			}
			f(k, v)
		})
		if services == 0 && len(d.Problems) == 0 {
			d.Problem(v, "services", "there is no service", "Add one, or remove the worker")
		}
	})
	if !found && len(d.Problems) == 0 {
		fix := "Add the services that this worker calls"
		d.Mapping(doc.Content[0], "", func(k, _ *yaml.Node) {
			if spell.Nearest(k.Value, []string{"services"}) != "" {
				fix = fmt.Sprintf("Did you mean it with %q in line %d?", k.Value, k.Line)
			}
		})
		d.Problem(doc.Content[0], "services", "this key is missing", fix)
	}
}

// Kinds of services.
const (
	HTTP = "http" // a service without the key kind
	GRPC = "grpc"
)

// Kind is which kind of API a service is: the text under its key kind, or http.
func Kind(service *yaml.Node) string {
	service = Resolve(service)
	for i := 0; service.Kind == yaml.MappingNode && i+1 < len(service.Content); i += 2 {
		if service.Content[i].Value == "kind" {
			return Resolve(service.Content[i+1]).Value
		}
	}
	return HTTP
}

package grpcbinding

import (
	"fmt"
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"

	"github.com/odradek/odradek/internal/spell"
	"github.com/odradek/odradek/worker/binding"
)

// codeRule is what a code means unless the file says otherwise, and its counterpart in HTTP,
// as google/rpc/code.proto has it.
type codeRule struct {
	name  string
	http  int
	class binding.Class
}

var codeRules = map[codes.Code]codeRule{
	codes.OK:                 {"OK", 200, binding.Completed},
	codes.Canceled:           {"CANCELLED", 499, binding.Retry},
	codes.Unknown:            {"UNKNOWN", 500, binding.Retry},
	codes.InvalidArgument:    {"INVALID_ARGUMENT", 400, binding.Failed},
	codes.DeadlineExceeded:   {"DEADLINE_EXCEEDED", 504, binding.Retry},
	codes.NotFound:           {"NOT_FOUND", 404, binding.Failed},
	codes.AlreadyExists:      {"ALREADY_EXISTS", 409, binding.Failed},
	codes.PermissionDenied:   {"PERMISSION_DENIED", 403, binding.Failed},
	codes.ResourceExhausted:  {"RESOURCE_EXHAUSTED", 429, binding.Retry},
	codes.FailedPrecondition: {"FAILED_PRECONDITION", 400, binding.Failed},
	codes.Aborted:            {"ABORTED", 409, binding.Retry},
	codes.OutOfRange:         {"OUT_OF_RANGE", 400, binding.Failed},
	codes.Unimplemented:      {"UNIMPLEMENTED", 501, binding.Failed},
	codes.Internal:           {"INTERNAL", 500, binding.Retry},
	codes.Unavailable:        {"UNAVAILABLE", 503, binding.Retry},
	codes.DataLoss:           {"DATA_LOSS", 500, binding.Failed},
	codes.Unauthenticated:    {"UNAUTHENTICATED", 401, binding.Failed},
}

// ruleOf is the rule of a code; one that gRPC does not know counts as UNKNOWN.
func ruleOf(c codes.Code) codeRule {
	if r, ok := codeRules[c]; ok {
		return r
	}
	r := codeRules[codes.Unknown]
	r.name = fmt.Sprintf("CODE_%d", c)
	return r
}

// codeClasses overrides the classes of codes.
type codeClasses map[codes.Code]binding.Class

// with gives c with the other's overrides over it.
func (c codeClasses) with(other codeClasses) codeClasses {
	out := codeClasses{}
	maps.Copy(out, c)
	maps.Copy(out, other)
	return out
}

func (c codeClasses) of(code codes.Code) binding.Class {
	if class, ok := c[code]; ok {
		return class
	}
	return ruleOf(code).class
}

// codes reads lines such as NOT_FOUND: completed.
func (d *decoder) codes(n *yaml.Node, key string) codeClasses {
	byName := map[string]codes.Code{}
	for c, r := range codeRules {
		byName[r.name] = c
	}
	out := codeClasses{}
	d.Mapping(n, key, func(k, v *yaml.Node) {
		code, ok := byName[k.Value]
		if !ok {
			fix := "Use one of " + strings.Join(binding.SortedKeys(byName), ", ")
			if near := spell.Nearest(k.Value, binding.SortedKeys(byName)); near != "" {
				fix = fmt.Sprintf("Did you mean %s?", near)
			}
			d.Problem(k, key+"."+k.Value, fmt.Sprintf("%q is not a code of gRPC", k.Value), fix)
			return
		}
		class, ok := d.Class(v, key+"."+k.Value)
		if !ok {
			return
		}
		if code == codes.OK && (class == binding.Retry || class == binding.Failed) {
			d.Problem(v, key+"."+k.Value, "OK is no failure", "Use completed or pending")
			return
		}
		out[code] = class
	})
	return out
}

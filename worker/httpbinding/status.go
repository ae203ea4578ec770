package httpbinding

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/worker/binding"
)

// statuses overrides the classes of single statuses (404) and hundreds (4 for 4xx).
type statuses map[int]binding.Class

// with gives s with the other's overrides over it.
func (s statuses) with(other statuses) statuses {
	out := statuses{}
	for k, v := range s {
		out[k] = v
	}
	for k, v := range other {
		out[k] = v
	}
	return out
}

// of classifies a status: the file's word for it, for its hundred, then the rule:
// 2xx is completed; 408, 425, 429 and 5xx are tried again; the rest has failed.
func (s statuses) of(status int) binding.Class {
	if c, ok := s[status]; ok {
		return c
	}
	if c, ok := s[status/100]; ok {
		return c
	}
	switch {
	case status >= 200 && status <= 299:
		return binding.Completed
	case status == 408, status == 425, status == 429, status >= 500:
		return binding.Retry
	}
	return binding.Failed
}

// statuses reads lines such as 404: completed and 5xx: failed.
func (d *decoder) statuses(n *yaml.Node, key string) statuses {
	out := statuses{}
	d.Mapping(n, key, func(k, v *yaml.Node) {
		at := -1
		if code, err := strconv.Atoi(k.Value); err == nil && code >= 200 && code <= 599 {
			at = code
		} else if len(k.Value) == 3 && k.Value[1:] == "xx" && k.Value[0] >= '2' && k.Value[0] <= '5' {
			at = int(k.Value[0] - '0')
		}
		if at < 0 {
			d.Problem(k, key+"."+k.Value, fmt.Sprintf("%q is not a status", k.Value), "Write one from 200 to 599, or 2xx, 3xx, 4xx, 5xx")
			return
		}
		if c, ok := d.Class(v, key+"."+k.Value); ok {
			out[at] = c
		}
	})
	return out
}

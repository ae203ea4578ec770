package binding

import (
	"fmt"
	"slices"
	"strings"
)

// SameShape compares what a worker was started with, in lines, to what a changed file asks
// for: services, operations, limits and timeouts cannot change under it.
func SameShape(before, after []string) error {
	slices.Sort(before)
	slices.Sort(after)
	if slices.Equal(before, after) {
		return nil
	}
	var out []string
	for _, l := range after {
		if !slices.Contains(before, l) {
			out = append(out, "+ "+l)
		}
	}
	for _, l := range before {
		if !slices.Contains(after, l) {
			out = append(out, "- "+l)
		}
	}
	return fmt.Errorf("services, operations, limits or timeouts differ (%s): restart the worker for that", strings.Join(out[:min(len(out), 5)], ", "))
}

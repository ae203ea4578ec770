package binding

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
)

// Class is what an answer means for the task.
type Class uint8

const (
	Completed Class = iota + 1
	Retry
	Failed
	Pending // the API has taken the task and completes it later, by its token
)

var classNames = map[string]Class{"completed": Completed, "retry": Retry, "failed": Failed, "pending": Pending}

// Class reads the name of a class.
func (d *Decoder) Class(n *yaml.Node, key string) (Class, bool) {
	c, ok := classNames[n.Value]
	if !ok {
		fix := "Use completed, retry, failed or pending"
		if near := spell.Nearest(n.Value, SortedKeys(classNames)); near != "" {
			fix = fmt.Sprintf("Did you mean %s?", near)
		}
		d.Problem(n, key, fmt.Sprintf("%q is not a class of answers", n.Value), fix)
	}
	return c, ok
}

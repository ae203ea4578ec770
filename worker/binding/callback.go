package binding

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// CheckCallbackURL reports why s is not an address under which an API may answer: that of the
// engine's API, as it is reached from there.
func CheckCallbackURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("it is not the address of the engine's API: write it like https://engine.example.com")
	}
	return nil
}

// callback is {$callback}: where the API completes the task.
type callback struct{ base string }

func (c callback) String() string { return "{$callback}" }

func (c callback) Eval(s *Scope) (any, bool, error) { return c.of(s.Attr["token"]), true, nil }

// of is the address for a task's token.
func (c callback) of(token string) string {
	return strings.TrimSuffix(c.base, "/") + "/v1/tasks/" + token + "/complete"
}

// callback compiles {$callback}, which is where {$token} is.
func (d *Decoder) callback(n *yaml.Node, key string, at Place) (Value, bool) {
	switch {
	case !slices.Contains(at.Attrs, "token"):
		d.Problem(n, key, "{$callback} is of one task's request, and does not fit here", "Remove it")
		return nil, false
	case d.Options.CallbackURL == "":
		d.Problem(n, key, "{$callback} is where the API completes the task, and the worker does not know where that is", "Set callback_url to the address of the engine's API, as the API reaches it")
		return nil, false
	}
	return callback{d.Options.CallbackURL}, true
}

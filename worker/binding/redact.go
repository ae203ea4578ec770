package binding

import (
	"encoding/json"
	"errors"
	"html"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/odradek/odradek/record"
)

const (
	// secretBytesMin is the length from which on a secret is looked for: what is shorter
	// would take common words apart.
	secretBytesMin = 4
	redacted       = "(secret)"
)

// Redactor takes the secrets out of what an API says: some repeat a token that they refuse.
// It is for one attempt, and one goroutine.
type Redactor struct {
	secrets       []string
	authorization string
	forms         []string // what is looked for, longest first; nil: not made yet
}

// Redactor knows the service's secrets, and a header Authorization that was made of them.
func (s *Common) Redactor(authorization string) *Redactor {
	return &Redactor{secrets: s.Secrets, authorization: authorization}
}

// look makes the forms of the secrets: as they are, and escaped as texts, addresses and pages
// have them. It does so for attempts that fail only.
func (r *Redactor) look() []string {
	if r.forms != nil {
		return r.forms
	}
	all := slices.Clone(r.secrets)
	if _, token, ok := strings.Cut(r.authorization, " "); ok {
		all = append(all, r.authorization, token)
	}
	r.forms = []string{}
	for _, s := range all {
		if len(s) < secretBytesMin {
			continue
		}
		escaped, _ := json.Marshal(s) // of a text; with <, > and & escaped, too
		quoted := strconv.Quote(s)
		for _, form := range []string{s, string(escaped[1 : len(escaped)-1]), quoted[1 : len(quoted)-1], url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s)} {
			r.forms = append(r.forms, form, lowerEscapes(form))
		}
	}
	slices.SortFunc(r.forms, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	r.forms = slices.Compact(r.forms)
	return r.forms
}

// lowerEscapes writes %2B as %2b.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] == '%' && i+2 < len(b) {
			copy(b[i+1:], strings.ToLower(s[i+1:i+3]))
		}
	}
	return string(b)
}

// Text takes the secrets out of a text, and what is left of one where the text was cut.
func (r *Redactor) Text(text string) string {
	for _, form := range r.look() {
		text = strings.ReplaceAll(text, form, redacted)
	}
	for _, form := range r.forms {
		for n := len(form) - 1; n >= max(secretBytesMin, min(8, len(form)/2)); n-- {
			if strings.HasSuffix(text, form[:n]) {
				return text[:len(text)-n] + redacted
			}
		}
	}
	return text
}

// JSON takes the secrets out of a JSON value, however its texts are escaped.
func (r *Redactor) JSON(doc []byte) []byte {
	v, err := DecodeJSON(doc)
	if err != nil {
		return doc // no document is kept that is none
	}
	v, found := r.value(v)
	if !found {
		return doc
	}
	doc, err = Encode(v)
	if err != nil {
		return nil
	}
	return doc
}

// value does so with a decoded value; names of fields are texts too.
func (r *Redactor) value(v any) (_ any, found bool) {
	switch v := v.(type) {
	case string:
		text := r.Text(v)
		return text, text != v
	case json.Number:
		text := r.Text(v.String())
		if text == v.String() {
			return v, false
		}
		return text, true
	case []any:
		for i := range v {
			element, changed := r.value(v[i])
			v[i], found = element, found || changed
		}
		return v, found
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			field, changed := r.value(v[name])
			clean := r.Text(name)
			if changed || clean != name {
				found = true
				delete(v, name)
				v[clean] = field
			}
		}
		return v, found
	}
	return v, false
}

// Failure takes the secrets out of an attempt's failure; other errors are none.
func (r *Redactor) Failure(err error) error {
	f, ok := errors.AsType[*record.Failure](err)
	if !ok {
		return err
	}
	f.Message = r.Text(f.Message)
	if f.Code != r.Text(f.Code) {
		f.Code = "secret"
	}
	if len(f.Problem) > 0 {
		f.Problem = r.JSON(f.Problem)
	}
	return err
}

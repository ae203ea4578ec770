package config

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// fileBytesMax bounds what is read of a file: none of them needs more.
const fileBytesMax = 1 << 20

const redacted = "(redacted)"

var referenceRE = regexp.MustCompile(`\$\{(env|file):([^${}\x00-\x1f]+)\}`)

// referenceError is a reference that cannot be resolved; it never has the value.
type referenceError struct{ what, fix string }

func (e *referenceError) Error() string { return e.what }

// resolve puts in what ${env:NAME} and ${file:PATH} refer to. The content of a
// reference is not resolved again. Paths are relative to the working directory, as all.
func (l *loader) resolve(raw string) (string, error) {
	if strings.Contains(referenceRE.ReplaceAllString(raw, ""), "${") {
		return "", &referenceError{"a ${ in it begins no reference", "Write ${env:NAME} or ${file:PATH}; put a value that has ${ itself into a file"}
	}
	var failed error
	value := referenceRE.ReplaceAllStringFunc(raw, func(ref string) string {
		m := referenceRE.FindStringSubmatch(ref)
		var v string
		var err error
		if m[1] == "env" {
			v, err = l.envReference(m[2])
		} else {
			v, err = fileReference(m[2])
		}
		if err != nil && failed == nil {
			failed = err
		}
		return v
	})
	if failed != nil {
		return "", failed
	}
	return value, nil
}

func (l *loader) envReference(name string) (string, error) {
	v := l.env[name]
	if v == "" {
		return "", &referenceError{fmt.Sprintf("the environment variable %s is missing or empty", quote(name)), "Set it before the engine starts"}
	}
	return v, nil
}

func fileReference(path string) (string, error) {
	b, err := readFile(path)
	if err != nil {
		return "", &referenceError{fmt.Sprintf("the file cannot be read: %v", err), "Check the path and who may read it"}
	}
	v := strings.TrimRight(string(b), "\r\n")
	if v == "" {
		return "", &referenceError{fmt.Sprintf("the file %s is empty", quote(path)), "Write the secret into it"}
	}
	return v, nil
}

// readFile reads a file of at most fileBytesMax.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	if err == nil && len(b) > fileBytesMax {
		err = fmt.Errorf("%s has more than %d bytes", quote(path), fileBytesMax)
	}
	return b, err
}

// isReference says that the value is one reference and nothing else.
func isReference(raw string) bool {
	m := referenceRE.FindString(raw)
	return m != "" && m == raw
}

// secretWords mark the names, and the values, that are not shown.
var secretWords = []string{"pass", "secret", "token", "jaas", "key", "credential", "auth."}

// redact is the value of a Kafka key as it may be shown: too little rather than too
// much. Names of files are no secrets.
func redact(name, raw string) string {
	if isReference(raw) {
		return raw
	}
	in := func(s string) bool {
		s = strings.ToLower(s)
		return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(s, w) })
	}
	if strings.HasSuffix(name, ".location") && !strings.Contains(raw, "${") {
		return raw
	}
	if in(name) || in(raw) || strings.Contains(raw, "${") || strings.Contains(raw, "@") {
		return redacted
	}
	return raw
}

package httpbinding

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// checkStaticPath reports why the file's part of a path, percent-encoded, is not
// safe to send.
func checkStaticPath(p string) error {
	if !strings.HasPrefix(p, "/") {
		return fmt.Errorf("path %q does not begin with /", p)
	}
	for i := range len(p) {
		if c := p[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte(`"<>\^`+"`{|}", c) >= 0 {
			return fmt.Errorf("path %q has the character %q, which a URL does not", p, c)
		}
	}
	if _, err := url.PathUnescape(p); err != nil {
		return fmt.Errorf("path %q: %w", p, err)
	}
	return checkSegments(p)
}

// checkSegments refuses segments that a server or proxy would resolve away.
func checkSegments(escaped string) error {
	for seg := range strings.SplitSeq(escaped, "/") {
		plain, err := url.PathUnescape(seg)
		if err != nil {
			return fmt.Errorf("path segment %q: %w", seg, err)
		}
		name, _, _ := strings.Cut(plain, ";") // servers of Java take parameters off
		if name == "." || name == ".." || strings.ContainsAny(plain, `/\`) || hiddenIn(plain) != "" {
			return fmt.Errorf("path segment %q would lead elsewhere", seg)
		}
	}
	return nil
}

// pathParam escapes a value for one segment and refuses what could leave it, also
// when a server decodes twice.
func pathParam(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("it is empty, and the path would name something else")
	case len(s) > 1024:
		return "", fmt.Errorf("it has %d bytes, at most 1024 fit in a path", len(s))
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7f || c == '/' || c == '\\' {
			return "", fmt.Errorf("it has the character %q, which a path parameter may not carry", c)
		}
	}
	if strings.Contains(s, "..") {
		return "", errors.New(`it has "..", which a path parameter may not carry`)
	}
	if hidden := hiddenIn(s); hidden != "" {
		return "", fmt.Errorf("it has %q, which a path parameter may not carry", hidden)
	}
	return url.PathEscape(s), nil
}

// hiddenIn finds what a server that decodes twice would take for a separator or a dot.
func hiddenIn(s string) string {
	s = strings.ToLower(s)
	for _, hidden := range []string{"%2f", "%5c", "%2e", "%00", "%25"} {
		if strings.Contains(s, hidden) {
			return hidden
		}
	}
	return ""
}

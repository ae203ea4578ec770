package binding

import (
	"errors"
	"strings"
)

// HeaderName reports why s is not a header's name (RFC 9110: a token).
func HeaderName(s string) error {
	if s == "" || len(s) > 200 {
		return errors.New("a header's name has 1 to 200 characters")
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return errors.New("a header's name is letters, digits and -")
		}
	}
	return nil
}

// HeaderValue reports why s may not be a header's value: it would begin another
// line, or hide something from whoever logs it.
func HeaderValue(s string) error {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return errors.New("it has a control character, which no header may carry")
		}
	}
	return nil
}

// CredentialHeader reports whether only the file may set the header.
func CredentialHeader(name string) bool {
	switch strings.ToLower(name) {
	case "authorization", "cookie", "x-api-key", "api-key", "x-auth-token", "x-forwarded-for", "x-forwarded-host", "forwarded":
		return true
	}
	return false
}

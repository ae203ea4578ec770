package httpbinding

import (
	"errors"
	"strings"
)

const (
	// headersMax and headerBytesMax bound what a request carries; servers refuse about
	// 100 lines and 8 to 16 KB.
	headersMax     = 64
	headerBytesMax = 8 << 10
)

// headerName reports why s is not a header's name (RFC 9110: a token).
func headerName(s string) error {
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

// headerValue reports why s may not be a header's value: it would begin another
// line, or hide something from whoever logs it.
func headerValue(s string) error {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return errors.New("it has a control character, which no header may carry")
		}
	}
	return nil
}

// reservedHeader reports whether neither file nor payload may set the header: it
// belongs to the connection, names the host, or is the worker's own.
func reservedHeader(name string) bool {
	switch strings.ToLower(name) {
	case "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade",
		"proxy-connection", "proxy-authorization", "proxy-authenticate", "expect", "accept-encoding",
		"idempotency-key", "traceparent", "tracestate", "baggage":
		return true
	}
	return false
}

// credentialHeader reports whether only the file may set the header.
func credentialHeader(name string) bool {
	switch strings.ToLower(name) {
	case "authorization", "cookie", "x-api-key", "api-key", "x-auth-token", "x-forwarded-for", "x-forwarded-host", "forwarded":
		return true
	}
	return false
}

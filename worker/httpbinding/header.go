package httpbinding

import "strings"

const (
	// headersMax and headerBytesMax bound what a request carries; servers refuse about
	// 100 lines and 8 to 16 KB.
	headersMax     = 64
	headerBytesMax = 8 << 10
)

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

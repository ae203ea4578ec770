package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
)

// Role is what a token may do. A role includes those below it.
type Role uint8

// Roles, ascending. RoleNone may do nothing.
const (
	RoleNone Role = iota
	RoleViewer
	RoleOperator
	RoleAdmin
)

// String is the role as the configuration has it.
func (r Role) String() string {
	switch r {
	case RoleViewer:
		return "viewer"
	case RoleOperator:
		return "operator"
	case RoleAdmin:
		return "admin"
	}
	return "none"
}

// ParseRole is the inverse of String; it refuses "none".
func ParseRole(s string) (Role, error) {
	for r := RoleViewer; r <= RoleAdmin; r++ {
		if s == r.String() {
			return r, nil
		}
	}
	return RoleNone, fmt.Errorf("role %q is not known: use viewer, operator or admin", s)
}

// Token lets its bearer in.
type Token struct {
	Name   string // who: stands in the log, is no secret
	SHA256 string // of the token, in hex; the token itself is nowhere (HashToken)
	Role   Role
}

// HashToken is the SHA256 of a Token.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// CheckBind refuses an address that is reachable from other machines while nobody
// has to show a token, unless insecure says that this is wanted.
func CheckBind(addr string, tokens []Token, insecure bool) error {
	if len(tokens) > 0 || insecure {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address %q is not host:port: %w", addr, err)
	}
	if loopback(host) {
		return nil
	}
	return fmt.Errorf("the API would listen on %q, reachable from other machines, without any token: configure tokens, listen on 127.0.0.1, or say insecure if something else guards it", addr)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// namesThisMachine reports whether a request's Host does.
func namesThisMachine(host string) bool {
	u := url.URL{Host: host}
	return loopback(u.Hostname())
}

// roles is what each operation needs. An operation that is not here is refused to
// everybody (H4); a test compares it with openapi.yaml.
func roles() map[string]Role {
	return map[string]Role{
		"GET /v1/workflows":                      RoleViewer,
		"POST /v1/workflows":                     RoleOperator,
		"GET /v1/workflows/{id}":                 RoleViewer,
		"GET /v1/workflows/{id}/history":         RoleViewer,
		"GET /v1/workflows/{id}/stack":           RoleViewer,
		"GET /v1/workflow-count":                 RoleViewer,
		"GET /v1/workflows/{id}/result":          RoleViewer,
		"POST /v1/workflows/{id}/signals/{name}": RoleOperator,
		"POST /v1/workflows/{id}/queries/{name}": RoleViewer,
		"POST /v1/workflows/{id}/updates/{name}": RoleOperator,
		"POST /v1/workflows/{id}/cancel":         RoleOperator,
		"POST /v1/workflows/{id}/terminate":      RoleOperator,
		"POST /v1/workflows/{id}/retry":          RoleOperator,
		"POST /v1/workflows/{id}/reset":          RoleOperator,
		"GET /v1/workflows/{id}/reset":           RoleViewer,
		"POST /v1/workflows/{id}/pause":          RoleOperator,
		"POST /v1/workflows/{id}/resume":         RoleOperator,

		"GET /v1/workflows/{id}/updates/{name}/{update_id}": RoleViewer,

		"POST /v1/partitions/{partition}/store-copy": RoleAdmin,

		"GET /v1/services":                   RoleViewer,
		"GET /v1/services/{service}":         RoleViewer,
		"POST /v1/services/{service}/pause":  RoleOperator,
		"POST /v1/services/{service}/resume": RoleOperator,

		"GET /v1/types":                RoleViewer,
		"POST /v1/types/{type}/pause":  RoleOperator,
		"POST /v1/types/{type}/resume": RoleOperator,

		"GET /v1/partitions/{partition}/dead-letters": RoleOperator,
		"GET /v1/dead-letters/{id}":                   RoleOperator,
		"POST /v1/dead-letters/{id}/retry":            RoleOperator,
		"POST /v1/dead-letters/{id}/discard":          RoleOperator,

		"POST /v1/jobs":             RoleOperator,
		"GET /v1/jobs":              RoleViewer,
		"GET /v1/jobs/{id}":         RoleViewer,
		"POST /v1/jobs/{id}/cancel": RoleOperator,
		"POST /v1/jobs/{id}/pause":  RoleOperator,
		"POST /v1/jobs/{id}/resume": RoleOperator,

		"POST /v1/tasks/{token}/complete":  RoleOperator,
		"POST /v1/tasks/{token}/fail":      RoleOperator,
		"POST /v1/tasks/{token}/heartbeat": RoleOperator,
	}
}

// principal is who asks.
type principal struct {
	name string
	role Role
}

type authenticator struct {
	taskKey []byte // signs task tokens; empty: nobody does
	tokens  []hashedToken
	local   bool // without tokens, this machine alone
	roles   map[string]Role
}

type hashedToken struct {
	sum [sha256.Size]byte
	principal
}

func newAuthenticator(tokens []Token, local bool, taskKey []byte) (*authenticator, error) {
	a := &authenticator{roles: roles(), local: local, taskKey: taskKey}
	var errs []error
	for i, t := range tokens {
		sum, err := hex.DecodeString(t.SHA256)
		switch {
		case t.Name == "":
			errs = append(errs, fmt.Errorf("token %d has no name: give it one, it stands in the log", i+1))
		case err != nil || len(sum) != sha256.Size:
			errs = append(errs, fmt.Errorf("token %q: sha256 is not 64 hex digits: give the SHA-256 of the token", t.Name))
		case t.Role == RoleNone || t.Role > RoleAdmin:
			errs = append(errs, fmt.Errorf("token %q has no role: use viewer, operator or admin", t.Name))
		default:
			a.tokens = append(a.tokens, hashedToken{[sha256.Size]byte(sum), principal{t.Name, t.Role}})
		}
	}
	return a, errors.Join(errs...)
}

// allow says who asks, or why not.
func (a *authenticator) allow(r *http.Request, pattern string) (principal, *problemError) {
	need, known := a.roles[pattern]
	if !known {
		return principal{}, problem(api.CodeForbidden, "nobody may do this: the operation has no role")
	}
	if len(a.tokens) == 0 && a.local && !namesThisMachine(r.Host) {
		return principal{}, problem(api.CodeForbidden, "the request names the host %q, and without tokens the API is for this machine alone: ask for localhost or 127.0.0.1, configure api.tokens, or set api.insecure if something else guards it", r.Host)
	}
	if len(a.tokens) == 0 {
		return principal{name: "anonymous", role: RoleAdmin}, nil
	}
	if path, of := strings.CutPrefix(r.URL.Path, "/v1/tasks/"); of && len(a.taskKey) > 0 { // the token lets in
		token, _, _ := strings.Cut(path, "/")
		if _, err := codec.ParseTaskToken(token, a.taskKey); err == nil {
			return principal{name: "task token", role: RoleOperator}, nil
		}
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return principal{}, problem(api.CodeUnauthenticated, "the request has no bearer token: send Authorization: Bearer TOKEN")
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	found := principal{}
	for i := range a.tokens { // all of them: the time tells nothing
		if subtle.ConstantTimeCompare(sum[:], a.tokens[i].sum[:]) == 1 {
			found = a.tokens[i].principal
		}
	}
	switch {
	case found.role == RoleNone:
		return principal{}, problem(api.CodeUnauthenticated, "the bearer token is not known to this instance")
	case found.role < need:
		return principal{}, problem(api.CodeForbidden, "this needs the role %s; token %q has the role %s", need, found.name, found.role)
	}
	return found, nil
}

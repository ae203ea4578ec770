package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
	"github.com/odradek/odradek/topology"
)

// tokenBytesMin keeps a token from being guessed: its hash has no salt, so 16 bytes
// of a generator is the least.
const tokenBytesMin = 16

var (
	hashRE     = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	tokenKeys  = []string{"name", "role", "hash", "token"}
	tokenRoles = []string{"viewer", "operator", "admin"}
)

// token is an item of api.tokens as it was written.
type token struct {
	key    string // api.tokens[0]
	source string
	values map[string]entry
}

// tokenList reads api.tokens.
func (f *file) tokenList(n *yaml.Node) {
	n = follow(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		f.problem(Problem{Source: f.at(n), Key: "api.tokens", What: "it is " + kindOf(n), Allowed: "a list of name, role, and hash or token", Fix: "Begin each token with a dash: - name: grafana"})
		return
	}
	for i, item := range n.Content {
		t := token{key: fmt.Sprintf("api.tokens[%d]", i), source: f.at(item), values: map[string]entry{}}
		if v := follow(item); v.Kind != yaml.MappingNode {
			f.problem(Problem{Source: t.source, Key: t.key, What: "it is " + kindOf(v), Allowed: "name, role, and hash or token"})
			continue
		}
		for _, p := range f.pairs(t.key, item) {
			if !slices.Contains(tokenKeys, p.name) {
				// Its name stays out: it may be the token (G3).
				fix := "Known here are " + strings.Join(tokenKeys, ", ")
				if near := spell.Nearest(p.name, tokenKeys); near != "" {
					fix = fmt.Sprintf("Did you mean %q?", near)
				}
				f.problem(Problem{Source: p.source, Key: t.key, What: "there is a key that is not known", Fix: fix})
				continue
			}
			if e, ok := f.scalar(t.key+"."+p.name, p.value, "one value"); ok {
				t.values[p.name] = e
			}
		}
		f.tokens = append(f.tokens, t)
	}
}

// finishAPI checks the tokens, and that not everybody gets in by accident.
func (l *loader) finishAPI(c *Engine, report *Report) {
	names := map[string]string{}
	for _, t := range l.tokens {
		name, role := t.values["name"], t.values["role"]
		if topology.CheckName("token", name.raw) != nil {
			l.problem(Problem{Source: t.at("name"), Key: t.key + ".name", What: t.wrong("name"), Allowed: "1 to 100 letters, digits, . _ or -, with no dot in front"})
		} else if first, ok := names[name.raw]; ok {
			l.problem(Problem{Source: name.source, Key: t.key + ".name", What: fmt.Sprintf("%s is the name of another token, at %s", quote(name.raw), first), Fix: "Give each its own name"})
		} else {
			names[name.raw] = name.source
		}
		if !slices.Contains(tokenRoles, role.raw) {
			l.problem(Problem{Source: t.at("role"), Key: t.key + ".role", What: t.wrong("role"), Allowed: "viewer, operator or admin"})
		}
		hash, shown := l.hash(t)
		c.API.Tokens = append(c.API.Tokens, Token{Name: name.raw, Role: role.raw, Hash: hash})
		report.add(t.key, fmt.Sprintf("name=%s role=%s %s", quote(name.raw), quote(role.raw), shown), t.source)
	}
	host, _, err := hostPort(c.API.Listen)
	if ip := net.ParseIP(host); err != nil || host == "localhost" || ip != nil && ip.IsLoopback() || len(l.tokens) > 0 || c.API.Insecure {
		return
	}
	l.problem(Problem{
		Source: l.source("api.listen"), Key: "api.listen", What: fmt.Sprintf("%s is reachable from other machines, and nobody needs a token", quote(c.API.Listen)),
		Fix: "Add api.tokens, listen on 127.0.0.1, or set api.insecure if something else guards it",
	})
}

// at is where a key of the token is, or else the token.
func (t token) at(key string) string {
	if e, ok := t.values[key]; ok {
		return e.source
	}
	return t.source
}

// wrong says what is wrong with a key of the token that is no secret.
func (t token) wrong(key string) string {
	if e, ok := t.values[key]; ok {
		return quote(e.raw) + " is not a " + key
	}
	return "it is missing"
}

// hash is the token's hash, and how the report shows where it is from.
func (l *loader) hash(t token) (hash, shown string) {
	h, hasHash := t.values["hash"]
	secret, hasToken := t.values["token"]
	switch {
	case hasHash == hasToken:
		l.problem(Problem{Source: t.source, Key: t.key, What: "it needs one of hash and token", Fix: "Write hash: with the SHA-256 of the token in hex, or token: ${env:NAME} or ${file:PATH}"})
	case hasHash && !hashRE.MatchString(h.raw):
		l.problem(Problem{Source: h.source, Key: t.key + ".hash", What: "it is not a SHA-256 hash", Allowed: "64 hex digits", Fix: "Make it with: printf %s \"$TOKEN\" | sha256sum"})
	case hasHash:
		return strings.ToLower(h.raw), "hash=" + redacted
	case !isReference(secret.raw):
		l.problem(Problem{Source: secret.source, Key: t.key + ".token", What: "it is not a reference", Allowed: "${env:NAME} or ${file:PATH}", Fix: "Take it out of the file, or write its hash"})
	default:
		value, err := l.resolve(secret.raw)
		if err == nil && len(value) < tokenBytesMin {
			err = &referenceError{"the token is too short", fmt.Sprintf("Make one of at least %d bytes, such as with: openssl rand -hex 32", tokenBytesMin)}
		}
		if err != nil {
			l.problem(Problem{Source: secret.source, Key: t.key + ".token", What: err.Error(), Fix: fixOf(err)})
		}
		sum := sha256.Sum256([]byte(value))
		return hex.EncodeToString(sum[:]), "token=" + secret.raw
	}
	return "", redacted
}

// finishTopics checks the task partitions of the services.
func (l *loader) finishTopics(c *Engine, report *Report) {
	c.Topics.Services = make(map[string]int32, len(l.services))
	for _, name := range slices.Sorted(maps.Keys(l.services)) {
		e, key := l.services[name], "topics.services."+name
		report.add(key, e.raw, e.source)
		if topology.CheckName("service", name) != nil {
			l.problem(Problem{Source: e.source, Key: key, What: quote(name) + " is not a name", Allowed: "1 to 100 letters, digits, . _ or -, with no dot in front"})
			continue
		}
		most := int64(max(c.Topics.Partitions, 1))
		set := number(1, most, func(c *Engine, n int64) { c.Topics.Services[name] = int32(n) })
		if err := set(c, e.raw); err != nil {
			l.problem(Problem{Source: e.source, Key: key, What: err.Error(), Allowed: fmt.Sprintf("1 to %d, which is topics.partitions", most)})
		}
	}
}

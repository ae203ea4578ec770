package filter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/odradek/odradek/record"
)

// Bounds of a filter: it comes from outside.
const (
	lengthMax = 4 << 10
	termsMax  = 100
	depthMax  = 20
)

// Filter is a parsed filter. The zero Filter fits every run.
type Filter struct {
	root node
	src  string
}

// String is the filter as it was written.
func (f Filter) String() string { return f.src }

// IsZero reports whether every run fits.
func (f Filter) IsZero() bool { return f.root == nil }

// ErrSyntax is wrapped by the errors of Parse.
var ErrSyntax = errors.New("the filter is not valid")

// Parse reads a filter; an empty text is the zero Filter. now is what the word now means.
// The error says where and how to fix it.
func Parse(src string, now time.Time) (Filter, error) {
	if len(src) > lengthMax {
		return Filter{}, fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrSyntax, len(src), lengthMax)
	}
	p := parser{src: src, now: now}
	p.next()
	if p.token == "" && p.err == nil {
		return Filter{src: src}, nil
	}
	root := p.or(0)
	if p.err == nil && p.token != "" {
		p.failf("%s is not expected here: join comparisons with and, or", p.shown())
	}
	if p.err != nil {
		return Filter{}, p.err
	}
	return Filter{root, src}, nil
}

type parser struct {
	src   string
	now   time.Time
	at    int    // behind the token
	from  int    // of the token
	token string // empty: the end
	text  string // of a text in quotes
	terms int
	err   error
}

func (p *parser) failf(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: at position %d: %s", ErrSyntax, p.from+1, fmt.Sprintf(format, args...))
	}
	p.token, p.at = "", len(p.src)
}

func (p *parser) shown() string {
	if p.token == "" {
		return "the end"
	}
	return strconv.Quote(p.token)
}

// next reads a token: a word, an operator, a parenthesis, a comma, or a text in quotes.
func (p *parser) next() {
	for p.at < len(p.src) && strings.IndexByte(" \t\r\n", p.src[p.at]) >= 0 {
		p.at++
	}
	p.from, p.token, p.text = p.at, "", ""
	if p.at == len(p.src) || p.err != nil {
		return
	}
	rest := p.src[p.at:]
	switch c := rest[0]; {
	case c == '"':
		p.quoted(rest)
		return
	case strings.HasPrefix(rest, "!=") || strings.HasPrefix(rest, "<=") || strings.HasPrefix(rest, ">="):
		p.token = rest[:2]
	case strings.IndexByte("=<>(),", c) >= 0:
		p.token = rest[:1]
	default:
		n := strings.IndexFunc(rest, func(r rune) bool { return !wordRune(r) })
		if n < 0 {
			n = len(rest)
		}
		if n == 0 {
			r, _ := utf8.DecodeRuneInString(rest)
			p.failf("%q begins nothing that a filter has", r)
			return
		}
		p.token = rest[:n]
	}
	p.at += len(p.token)
}

func wordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.:+", r)
}

func (p *parser) quoted(rest string) {
	q, err := strconv.QuotedPrefix(rest)
	if err != nil {
		p.failf("the text has no end: close it with \", and write \\\" for one in it")
		return
	}
	p.token = q
	if p.text, err = strconv.Unquote(q); err != nil {
		p.failf("the text cannot be read: write it as JSON does")
		return
	}
	p.at += len(q)
}

func (p *parser) or(depth int) node {
	n := p.and(depth)
	for p.token == "or" {
		p.next()
		n = &or{n, p.and(depth)}
	}
	return n
}

func (p *parser) and(depth int) node {
	n := p.not(depth)
	for p.token == "and" {
		p.next()
		n = &and{n, p.not(depth)}
	}
	return n
}

func (p *parser) not(depth int) node {
	if depth > depthMax {
		p.failf("it is nested more than %d deep", depthMax)
		return nil
	}
	switch p.token {
	case "not":
		p.next()
		return &not{p.not(depth + 1)}
	case "(":
		p.next()
		n := p.or(depth + 1)
		p.expect(")")
		return n
	}
	return p.comparison()
}

func (p *parser) expect(token string) {
	if p.token != token {
		p.failf("%s is there, and %q is missing", p.shown(), token)
		return
	}
	p.next()
}

func (p *parser) comparison() node {
	if p.terms++; p.terms > termsMax {
		p.failf("it has more than %d comparisons", termsMax)
		return nil
	}
	c := &comparison{field: p.token}
	if p.token == "" || p.text != "" || strings.IndexByte(`"=<>!(),`, p.token[0]) >= 0 {
		p.failf("%s is there, and the name of a field is missing, as in status = running", p.shown())
		return nil
	}
	p.next()
	switch p.token {
	case "=", "!=", "<", "<=", ">", ">=", "starts":
		c.op = p.token
		p.next()
		c.values = []value{p.value(c)}
	case "in":
		c.op = "in"
		p.next()
		p.expect("(")
		c.values = []value{p.value(c)}
		for p.token == "," && p.err == nil {
			p.next()
			c.values = append(c.values, p.value(c))
		}
		p.expect(")")
	default:
		p.failf("%s follows the field %s: use =, !=, <, <=, >, >=, starts or in", p.shown(), c.field)
	}
	return c
}

// value reads a value that fits the comparison.
func (p *parser) value(c *comparison) value {
	word, text := p.token, p.text
	from := p.from
	p.next()
	failed := func(format string, args ...any) value {
		p.from = from
		p.failf(format, args...)
		return value{}
	}
	var v value
	switch {
	case p.err != nil:
		return v
	case word == "" || strings.IndexByte("=<>!(),", word[0]) >= 0:
		return failed("a value is missing")
	case word[0] == '"':
		v = value{kind: kindText, text: text}
	case word == "true" || word == "false":
		v = value{kind: kindBool, flag: word == "true"}
	default:
		var ok bool
		if v, ok = p.word(word); !ok && c.field != fieldStatus {
			return failed("%q is no value: texts stand in quotes; there are numbers, true, false, times such as 2026-01-02T03:04:05Z and now-24h", word)
		}
	}
	if c.op == "starts" && v.kind != kindText {
		return failed("starts is of texts")
	}
	switch want := fieldKind(c.field); {
	case c.field == fieldStatus:
		if v.kind == kindText {
			word = v.text
		}
		if record.ParseStatus(word) == record.StatusNone || c.op != "=" && c.op != "!=" && c.op != "in" {
			return failed("a status is = , != or in running, completed, failed, cancelled, terminated, continued")
		}
		return value{kind: kindText, text: word}
	case want != kindNone && want != v.kind:
		return failed("%s is compared with a %s, such as %s", c.field, want, want.example())
	}
	return v
}

// word reads a value that is not in quotes.
func (p *parser) word(w string) (value, bool) {
	if rest, ok := strings.CutPrefix(w, "now"); ok {
		at := p.now
		if rest != "" {
			d, err := time.ParseDuration(rest)
			if err != nil {
				return value{}, false
			}
			at = at.Add(d)
		}
		return value{kind: kindTime, at: record.MillisOf(at)}, true
	}
	if at, err := time.Parse(time.RFC3339, w); err == nil {
		return value{kind: kindTime, at: record.MillisOf(at)}, true
	}
	if n, err := strconv.ParseInt(w, 10, 64); err == nil {
		return value{kind: kindNumber, whole: true, n: n, f: float64(n)}, true
	}
	if f, err := strconv.ParseFloat(w, 64); err == nil && f-f == 0 { // neither infinite nor NaN
		return value{kind: kindNumber, f: f}, true
	}
	return value{}, false
}

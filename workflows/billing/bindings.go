package billing

import (
	_ "embed"
	"strings"
)

//go:embed bindings.yaml
var bindings string

// Bindings is bindings.yaml with the APIs at other addresses: host:port by service.
// Services that are not among them stay where the file has them.
func Bindings(addresses map[string]string) string {
	var pairs []string
	for service, addr := range addresses {
		pairs = append(pairs, "\n  "+service+":\n    base_url: http://"+defaultAddress(service)+"\n", "\n  "+service+":\n    base_url: http://"+addr+"\n")
	}
	return strings.NewReplacer(pairs...).Replace(bindings)
}

func defaultAddress(service string) string {
	_, rest, _ := strings.Cut(bindings, "\n  "+service+":\n    base_url: http://")
	addr, _, _ := strings.Cut(rest, "\n")
	return addr
}

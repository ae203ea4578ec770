package kafkatest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are looked for below the range from which systems take those of outgoing
// connections (from 32768 on Linux, 49152 elsewhere), so that none of these takes a
// port between our look and the broker's bind, or while a broker is down.
const portMin, portMax = 21000, 32000

// freeAddrs gives n loopback addresses on which nobody listens.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range 1000 {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(portMin+rand.IntN(portMax-portMin)))
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		defer ln.Close() // at the end: an address must not come twice
		addrs = append(addrs, addr)
	}
	return nil, fmt.Errorf("there are no %d free ports on 127.0.0.1 between %d and %d", n, portMin, portMax)
}

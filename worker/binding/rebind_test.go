package binding_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/odradek/odradek/worker/binding"
)

// names is a name server, in the test's own process, that answers with what it holds now,
// whichever name is asked for: nobody may keep what it said before.
type names struct{ now atomic.Pointer[[]string] }

func (n *names) set(addresses ...string) { n.now.Store(&addresses) }

// dial is a net.Resolver's: a connection to the name server, as over TCP (RFC 1035, 4.2.2).
func (n *names) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		var size [2]byte
		for {
			if _, err := io.ReadFull(far, size[:]); err != nil {
				return
			}
			q := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(far, q); err != nil {
				return
			}
			a := n.answer(q)
			if _, err := far.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
				return
			}
		}
	}()
	return near, nil
}

func (n *names) answer(q []byte) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	question := q[12 : end+5]
	var answers [][]byte
	if binary.BigEndian.Uint16(q[end+1:]) == 1 { // A
		for _, s := range *n.now.Load() {
			ip := netip.MustParseAddr(s).As4()
			answers = append(answers, append([]byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4}, ip[:]...)) // lives for 0 s
		}
	}
	out := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, byte(len(answers)), 0, 0, 0, 0}, question...)
	for _, a := range answers {
		out = append(out, a...)
	}
	return out
}

// TestANameThatMoves: DNS rebinding. The address that is connected to is the one that is
// checked: it does not help that the name stood for an allowed one before, when somebody
// looked, or when it was called the last time, nor that an allowed one stands beside it.
func TestANameThatMoves(t *testing.T) {
	n, was := &names{}, net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: n.dial}
	t.Cleanup(func() { net.DefaultResolver = was })

	allowed, denied := onePort(t)
	_, port, _ := net.SplitHostPort(allowed.Addr().String())
	var good, bad atomic.Int64
	for l, count := range map[net.Listener]*atomic.Int64{allowed: &good, denied: &bad} {
		srv := &httptest.Server{Listener: l, Config: &http.Server{
			Handler:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
			ConnState: func(_ net.Conn, s http.ConnState) { countNew(count, s) },
		}}
		srv.Start()
		t.Cleanup(srv.Close)
	}
	policy := binding.DialPolicy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}
	client := binding.Client(nil, policy, 1)
	t.Cleanup(client.CloseIdleConnections)
	byHTTP := func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://moves.example:"+port+"/", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	byDialer := func() error { // that of gRPC
		conn, err := policy.Dialer().DialContext(t.Context(), "tcp", "moves.example:"+port)
		if err == nil {
			conn.Close()
		}
		return err
	}
	reach := func() error { // svcworker check --online
		return (&binding.Common{Dial: policy}).Reach(t.Context(), "moves.example:"+port, false)
	}
	for name, call := range map[string]func() error{"HTTP": byHTTP, "dialler": byDialer, "reach": reach} {
		n.set("127.0.0.2")
		if err := call(); err != nil {
			t.Fatalf("%s: the allowed address: %v", name, err)
		}
		client.CloseIdleConnections()
		for now, addresses := range map[string][]string{
			"loopback": {"127.0.0.1"}, "metadata": {"169.254.169.254"}, "private": {"10.0.0.7"}, "nowhere": {"0.0.0.0"},
			"several": {"127.0.0.1", "169.254.169.254"},
		} {
			n.set("127.0.0.2")
			if ips, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip4", "moves.example"); err != nil || policy.Check(ips[0]) != nil {
				t.Fatalf("whoever looks sees %v, %v", ips, err)
			}
			n.set(addresses...)
			if err := call(); !errors.Is(err, binding.ErrAddressDenied) || binding.NetworkCode(err) != "address_denied" {
				t.Errorf("%s, %s: %v", name, now, err)
			}
		}
		n.set("127.0.0.1", "127.0.0.2")
		if err := call(); err != nil {
			t.Errorf("%s: an allowed address beside a denied one: %v", name, err)
		}
		client.CloseIdleConnections()
	}
	if good.Load() == 0 || bad.Load() != 0 {
		t.Errorf("%d connections came to the allowed address, %d to the denied one", good.Load(), bad.Load())
	}
}

// onePort listens on one port of the allowed address and of the denied one.
func onePort(t *testing.T) (allowed, denied net.Listener) {
	t.Helper()
	for range 100 { // somebody may have the second one's
		allowed, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Skip("this machine has no 127.0.0.2:", err)
		}
		_, port, _ := net.SplitHostPort(allowed.Addr().String())
		if denied, err = net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return allowed, denied
		}
		allowed.Close()
	}
	t.Fatal("no port is free on both addresses")
	return nil, nil
}

func countNew(n *atomic.Int64, s http.ConnState) {
	if s == http.StateNew {
		n.Add(1)
	}
}

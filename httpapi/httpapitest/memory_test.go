package httpapitest

import "testing"

func TestEngineInMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	Contract(t, NewCluster(4).Instance(0), "memory")
}

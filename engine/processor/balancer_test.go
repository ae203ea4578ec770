package processor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// places prints who got what: "a:0,1 b:2".
func places(members []*member) string {
	var out []string
	for _, m := range members {
		out = append(out, strings.ReplaceAll(strings.Trim(fmt.Sprint(m.id, ":", m.got), "[]"), ":[", ":"))
	}
	return strings.Join(out, " ")
}

func TestAssign(t *testing.T) {
	t.Parallel()
	type world struct {
		members []*member
		owner   map[int32]string
		n       int32
	}
	stores := func(ps ...int32) memberData {
		d := memberData{Stores: map[int32]int64{}}
		for _, p := range ps {
			d.Stores[p] = 100
		}
		return d
	}
	for _, c := range []struct {
		name string
		w    world
		want string
	}{
		{"alone", world{[]*member{{id: "a"}}, nil, 3}, "a:0 1 2"},
		{"two that are new", world{[]*member{{id: "a"}, {id: "b"}}, nil, 4}, "a:0 2 b:1 3"},
		{"an owner keeps", world{[]*member{{id: "a"}, {id: "b"}}, map[int32]string{0: "b", 1: "b", 2: "a", 3: "a"}, 4}, "a:2 3 b:0 1"},
		{"stores decide after a restart", world{[]*member{{id: "a", data: stores(2, 3)}, {id: "b", data: stores(0, 1)}}, nil, 4}, "a:2 3 b:0 1"},
		{"a newcomer gets its share, what it has first", world{[]*member{{id: "a", data: stores(0, 1, 2, 3)}, {id: "b", data: stores(1)}}, map[int32]string{0: "a", 1: "a", 2: "a", 3: "a"}, 4}, "a:0 2 b:1 3"},
		{"three members, four partitions", world{[]*member{{id: "a"}, {id: "b"}, {id: "c"}}, map[int32]string{0: "a", 1: "a", 2: "b", 3: "b"}, 4}, "a:0 b:2 3 c:1"},
		{"more members than partitions", world{[]*member{{id: "a"}, {id: "b"}, {id: "c"}}, nil, 2}, "a:0 b:1 c:"},
		{"one that refuses", world{[]*member{{id: "a", data: memberData{Refused: []int32{0, 1}}}, {id: "b"}}, map[int32]string{0: "a", 1: "a"}, 2}, "a: b:0 1"},
		{"all refuse", world{[]*member{{id: "a", data: memberData{Refused: []int32{0}}}}, map[int32]string{0: "a"}, 1}, "a:0"},
		{"code of a version that only one has", world{[]*member{
			{id: "a", data: memberData{Types: map[string][]uint32{"t": {1}}, Open: map[int32]map[string][]uint32{0: {"t": {2}}, 1: {"t": {1}}}}},
			{id: "b", data: memberData{Types: map[string][]uint32{"t": {1, 2}}}},
		}, map[int32]string{0: "a", 1: "a"}, 2}, "a:1 b:0"},
		{"code that nobody has", world{[]*member{
			{id: "a", data: memberData{Open: map[int32]map[string][]uint32{0: {"t": {2}}}}},
			{id: "b"},
		}, map[int32]string{0: "a"}, 1}, "a:0 b:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			byID, owner := map[string]*member{}, map[int32]*member{}
			for _, m := range c.w.members {
				byID[m.id] = m
			}
			for p, id := range c.w.owner {
				owner[p] = byID[id]
			}
			assign(c.w.members, owner, c.w.n)
			if got := places(c.w.members); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestAssignProperties: each partition has one member; loads of equal members differ
// by one at most; who has its share loses nothing; nothing moves the second time.
func TestAssignProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int32Range(0, 20).Draw(t, "partitions")
		count := rapid.IntRange(1, 6).Draw(t, "members")
		choosy := rapid.Bool().Draw(t, "choosy")
		var members []*member
		for i := range count {
			m := &member{id: string(rune('a' + i)), data: memberData{Stores: map[int32]int64{}}}
			for p := range n {
				if rapid.IntRange(0, 3).Draw(t, "store") == 0 {
					m.data.Stores[p] = rapid.Int64Range(1, 1000).Draw(t, "position")
				}
				if choosy && rapid.IntRange(0, 4).Draw(t, "refuse") == 0 {
					m.data.Refused = append(m.data.Refused, p)
				}
			}
			members = append(members, m)
		}
		owner := map[int32]*member{}
		for p := range n {
			if o := rapid.IntRange(-1, count-1).Draw(t, "owner"); o >= 0 {
				owner[p] = members[o]
			}
		}
		held := map[*member]int{}
		for _, m := range owner {
			held[m]++
		}
		assign(members, owner, n)
		next := map[int32]*member{}
		for _, m := range members {
			for _, p := range m.got {
				if next[p] != nil {
					t.Fatalf("partition %d twice", p)
				}
				next[p] = m
			}
		}
		if len(next) != int(n) {
			t.Fatalf("%d of %d partitions are assigned", len(next), n)
		}
		if !choosy {
			low, high := int(n), 0
			for _, m := range members {
				low, high = min(low, len(m.got)), max(high, len(m.got))
				if held[m] <= int(n)/count {
					for p, o := range owner {
						if o == m && next[p] != m {
							t.Fatalf("%s lost %d, though it had %d of %d", m.id, p, held[m], n)
						}
					}
				}
			}
			if high-low > 1 {
				t.Fatalf("loads from %d to %d", low, high)
			}
		}
		first := places(members)
		for _, m := range members {
			m.got = nil
		}
		slices.Reverse(members)
		assign(members, next, n)
		if again := places(members); again != first {
			t.Fatalf("%s became %s", first, again)
		}
	})
}

package processor

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// balancerName is the group's protocol. Another meaning of the user data needs
// another name.
const balancerName = "odradek-1"

// memberData is what a member tells the balancer of itself.
type memberData struct {
	Instance string              `json:"instance"`
	Build    string              `json:"build,omitempty"`
	Types    map[string][]uint32 `json:"types,omitempty"`   // versions of the workflow types it has
	Stores   map[int32]int64     `json:"stores,omitempty"`  // changelog position of each store on its disk
	Refused  []int32             `json:"refused,omitempty"` // partitions that failed here lately
	// Open are the versions with open runs in the partitions that it owns.
	Open map[int32]map[string][]uint32 `json:"open,omitempty"`
}

// balancer assigns partitions by the state that members have: an owner keeps its
// partitions (sticky); a free one goes to the member whose store is furthest; one
// that has runs of a version goes to a member that has the code (S3); one that a
// member refuses goes elsewhere (P3). It is cooperative: a partition that another
// member still holds is withheld until that one has let it go.
type balancer struct {
	topic      string
	partitions int32 // by the slot table; what the topic has beyond stays unused

	mu sync.Mutex
	me func() memberData
}

var _ kgo.GroupBalancer = (*balancer)(nil)

func (b *balancer) ProtocolName() string { return balancerName }
func (b *balancer) IsCooperative() bool  { return true }

func (b *balancer) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version, meta.Topics, meta.Generation = 2, topics, generation
	b.mu.Lock()
	meta.UserData, _ = json.Marshal(b.me()) // plain fields: cannot fail
	b.mu.Unlock()
	for topic, ps := range owned {
		o := kmsg.NewConsumerMemberMetadataOwnedPartition()
		o.Topic, o.Partitions = topic, ps
		meta.OwnedPartitions = append(meta.OwnedPartitions, o)
	}
	return meta.AppendTo(nil)
}

func (b *balancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment)
}

func (b *balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	return cb, cb.MemberTopics(), err
}

// plan is an assignment as kgo wants it.
type plan []kmsg.SyncGroupRequestGroupAssignment

func (p plan) IntoSyncAssignment() []kmsg.SyncGroupRequestGroupAssignment { return p }

// Balance is called on the group's leader.
func (b *balancer) Balance(cb *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	var members []*member
	owner := map[int32]*member{}
	generation := map[int32]int32{}
	cb.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		x := &member{id: m.MemberID}
		_ = json.Unmarshal(meta.UserData, &x.data) // what cannot be read counts as nothing
		members = append(members, x)
		for _, o := range meta.OwnedPartitions {
			if o.Topic != b.topic {
				continue
			}
			for _, p := range o.Partitions {
				// Two may claim one: the later generation is right.
				if at, claimed := generation[p]; !claimed || meta.Generation > at {
					owner[p], generation[p] = x, meta.Generation
				}
			}
		}
	})
	n := b.partitions
	if has, ok := topics[b.topic]; ok {
		n = min(n, has)
	}
	assign(members, owner, n)
	var out plan
	for _, m := range members {
		a := kmsg.NewConsumerMemberAssignment()
		t := kmsg.NewConsumerMemberAssignmentTopic()
		t.Topic = b.topic
		for _, p := range m.got {
			if o := owner[p]; o == nil || o == m {
				t.Partitions = append(t.Partitions, p)
			}
		}
		a.Topics = append(a.Topics, t)
		out = append(out, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.id, MemberAssignment: a.AppendTo(nil)})
	}
	return out
}

// member is one member in a balance.
type member struct {
	id   string
	data memberData
	got  []int32
}

// assign gives each of n partitions to a member: an owner keeps what it has, the
// rest goes to the furthest store that has room, and then partitions move from
// fuller members to emptier ones until no move evens the loads. Moving comes last,
// so that an assignment which is level already stays as it is: the group settles.
func assign(members []*member, owner map[int32]*member, n int32) {
	if len(members) == 0 {
		return
	}
	slices.SortFunc(members, func(a, b *member) int { return cmp.Compare(a.id, b.id) })
	fit := fitness(members, n)
	room := int(n) / len(members)
	var free []int32
	for p := int32(0); p < n; p++ {
		if o := owner[p]; o != nil && slices.Contains(fit[p], o) {
			o.got = append(o.got, p)
		} else {
			free = append(free, p)
		}
	}
	// The choosiest first.
	slices.SortFunc(free, func(p, q int32) int {
		return cmp.Or(cmp.Compare(len(fit[p]), len(fit[q])), cmp.Compare(furthest(fit[q], q), furthest(fit[p], p)), cmp.Compare(p, q))
	})
	for _, p := range free {
		m := slices.MinFunc(fit[p], func(a, b *member) int {
			return cmp.Or(
				cmp.Compare(over(a, room), over(b, room)),
				cmp.Compare(b.data.Stores[p], a.data.Stores[p]),
				cmp.Compare(len(a.got), len(b.got)),
				cmp.Compare(a.id, b.id),
			)
		})
		m.got = append(m.got, p)
	}
	for {
		mv, ok := bestShift(members, owner, fit, room)
		if !ok {
			break
		}
		mv.from.got = slices.DeleteFunc(mv.from.got, func(q int32) bool { return q == mv.p })
		mv.to.got = append(mv.to.got, mv.p)
	}
	for _, m := range members {
		slices.Sort(m.got)
	}
}

// over is by how much a member would be above its share with one more.
func over(m *member, room int) int { return max(0, len(m.got)-room+1) }

func furthest(ms []*member, p int32) (at int64) {
	for _, m := range ms {
		at = max(at, m.data.Stores[p])
	}
	return at
}

// shift is a partition that goes from one member to another.
type shift struct {
	p        int32
	from, to *member
}

// bestShift is the cheapest move from the fullest member that has one, to a member
// that is fit and has at least two partitions less. Cheap is what nobody holds, then
// what the receiver's store is nearest to. Each move lowers the sum of the squares
// of the loads, so moves come to an end; whether there is one depends on loads and
// fitness alone, never on who owned what.
func bestShift(members []*member, owner map[int32]*member, fit [][]*member, room int) (shift, bool) {
	byLoad := slices.Clone(members)
	slices.SortStableFunc(byLoad, func(a, b *member) int { return cmp.Compare(len(b.got), len(a.got)) })
	for _, from := range byLoad {
		var moves []shift
		for _, p := range from.got {
			for _, to := range fit[p] {
				if len(from.got)-len(to.got) >= 2 {
					moves = append(moves, shift{p, from, to})
				}
			}
		}
		if len(moves) == 0 {
			continue
		}
		held := func(m shift) int {
			if owner[m.p] == nil {
				return 0
			}
			return 1
		}
		gap := func(m shift) int64 { return m.from.data.Stores[m.p] - m.to.data.Stores[m.p] }
		return slices.MinFunc(moves, func(a, b shift) int {
			return cmp.Or(
				cmp.Compare(over(a.to, room), over(b.to, room)),
				cmp.Compare(held(a), held(b)),
				cmp.Compare(gap(a), gap(b)),
				cmp.Compare(len(a.to.got), len(b.to.got)),
				cmp.Compare(b.p, a.p),
				cmp.Compare(a.to.id, b.to.id),
			)
		}), true
	}
	return shift{}, false
}

// fitness lists, for each partition, the members that are fit best for it: first
// those that do not refuse it, among them those that have all versions with open
// runs there.
func fitness(members []*member, n int32) [][]*member {
	fit := make([][]*member, n)
	for p := range fit {
		best := -1
		for _, m := range members {
			class := 0
			if !slices.Contains(m.data.Refused, int32(p)) {
				class = 2
			}
			if hasAll(m, members, int32(p)) {
				class++
			}
			switch {
			case class > best:
				best, fit[p] = class, append(fit[p][:0], m)
			case class == best:
				fit[p] = append(fit[p], m)
			}
		}
	}
	return fit
}

// hasAll reports whether the member has the code of everything that anybody knows
// to be open in the partition.
func hasAll(m *member, members []*member, p int32) bool {
	for _, x := range members {
		for typ, versions := range x.data.Open[p] {
			for _, v := range versions {
				if has := m.data.Types[typ]; !slices.Contains(has, v) && (v > 0 || len(has) == 0) {
					return false
				}
			}
		}
	}
	return true
}

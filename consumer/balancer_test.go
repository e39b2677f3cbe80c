package consumer

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

// assign has a group's members share the topics, and returns the owner of each partition of each, having wanted exactly
// one.
func assign(t *rapid.T, members []kafka.GroupMember, topics map[string]int) map[string][]string {
	var partitions []kafka.Partition
	for topic, count := range topics {
		for p := range count {
			partitions = append(partitions, kafka.Partition{Topic: topic, ID: p})
		}
	}
	partitions = rapid.Permutation(partitions).Draw(t, "the metadata's order")
	owners := make(map[string][]string)
	for topic, count := range topics {
		owners[topic] = make([]string, count)
	}
	for id, assigned := range (&balancer{}).AssignGroups(members, partitions) {
		for topic, numbers := range assigned {
			for _, p := range numbers {
				if owners[topic][p] != "" {
					t.Fatalf("%s/%d is both %s's and %s's", topic, p, owners[topic][p], id)
				}
				owners[topic][p] = id
			}
		}
	}
	for topic := range owners {
		if p := slices.Index(owners[topic], ""); p >= 0 {
			t.Fatalf("%s/%d is nobody's", topic, p)
		}
	}
	return owners
}

// drawMembers draws members of a group that read the topics and say anything of what they had.
func drawMembers(t *rapid.T, topics map[string]int) []kafka.GroupMember {
	members := make([]kafka.GroupMember, rapid.IntRange(1, 9).Draw(t, "members"))
	had := rapid.OneOf(
		rapid.SliceOf(rapid.Byte()),
		rapid.Map(rapid.SliceOfDistinct(rapid.IntRange(0, 40), rapid.ID[int]), func(numbers []int) []byte {
			slices.Sort(numbers)
			return encodeNumbers(numbers)
		}),
	)
	for i := range members {
		members[i] = kafka.GroupMember{ID: fmt.Sprintf("m%d", i), Topics: slices.Collect(maps.Keys(topics)), UserData: had.Draw(t, "had")}
	}
	return members
}

func drawTopics(t *rapid.T) map[string]int {
	homes := rapid.IntRange(1, 24).Draw(t, "homes")
	return map[string]int{"requests": rapid.IntRange(1, 36).Draw(t, "requests"), "forward": homes, "retry": homes}
}

// remembered returns the members as they join the next time.
func remembered(members []kafka.GroupMember, owners map[string][]string) []kafka.GroupMember {
	members = slices.Clone(members)
	for i, m := range members {
		b := balancer{}
		assignments := make(map[string][]kafka.PartitionAssignment)
		for topic := range owners {
			for p, id := range owners[topic] {
				if id == m.ID {
					assignments[topic] = append(assignments[topic], kafka.PartitionAssignment{ID: p})
				}
			}
		}
		b.joined(assignments)
		members[i].UserData, _ = b.UserData()
	}
	return members
}

func count(owners []string, id string) (n int) {
	for _, owner := range owners {
		if owner == id {
			n++
		}
	}
	return n
}

func TestBalancer_WhatHasTheSameNumberIsTogetherAndAllIsSpreadEvenly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		topics := drawTopics(t)
		members := drawMembers(t, topics)
		owners := assign(t, members, topics)
		for topic, of := range owners {
			for p, id := range of {
				if p < len(owners["forward"]) && owners["forward"][p] != id {
					t.Fatalf("%s/%d is %s's, forward/%d %s's", topic, p, id, p, owners["forward"][p])
				}
			}
			for _, m := range members {
				if n, least := count(of, m.ID), len(of)/len(members); n < least || n > least+1 {
					t.Fatalf("%s has %d of the %d partitions of %s, of %d members", m.ID, n, len(of), topic, len(members))
				}
			}
		}
	})
}

func TestBalancer_NothingMovesWithoutNeed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		topics := drawTopics(t)
		members := drawMembers(t, topics)
		before := assign(t, members, topics)
		members = remembered(members, before)
		if after := assign(t, members, topics); !maps.EqualFunc(before, after, slices.Equal) {
			t.Fatalf("the same members have %v, had %v", after, before)
		}
		topics["requests"] = topics["forward"]
		before = assign(t, members, topics)
		members = remembered(members, before)
		joining := kafka.GroupMember{ID: "new", Topics: members[0].Topics}
		for p, id := range assign(t, append(slices.Clone(members), joining), topics)["forward"] {
			if id != before["forward"][p] && id != "new" {
				t.Fatalf("%d moved from %s to %s, though neither joined", p, before["forward"][p], id)
			}
		}
		if len(members) == 1 {
			return
		}
		left := members[0].ID
		for p, id := range assign(t, members[1:], topics)["forward"] {
			if was := before["forward"][p]; id != was && was != left {
				t.Fatalf("%d moved from %s to %s, though neither left", p, was, id)
			}
		}
	})
}

func TestBalancer_ATopicGoesToThoseWhoReadIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		topics := drawTopics(t)
		members := drawMembers(t, topics)
		old := rapid.IntRange(0, len(members)-1).Draw(t, "reads the former retry topic")
		members[old].Topics = append(members[old].Topics, "former")
		topics["former"] = topics["retry"]
		for p, id := range assign(t, members, topics)["former"] {
			if id != members[old].ID {
				t.Fatalf("former/%d is %s's, who does not read it", p, id)
			}
		}
	})
}

func FuzzDecodeNumbers(f *testing.F) {
	f.Add(encodeNumbers([]int{0, 1, 5}))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		numbers := decodeNumbers(b)
		for i, p := range numbers {
			if p < 0 || p > maxNumber || i > 0 && p < numbers[i-1] {
				t.Fatalf("%v", numbers)
			}
		}
	})
}

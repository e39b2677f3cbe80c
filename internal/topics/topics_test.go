package topics

import (
	"context"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"consentd/config"
	"consentd/internal/broker"
	"consentd/internal/kafkatest"
)

func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }

func TestAbsent_GivesTopicsOfACorpTheSameNumberOfPartitions(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	for name, tc := range map[string]struct {
		have                      map[string]int32
		absent                    int
		status, forward, requests int32
	}{
		"nothing is there":         {nil, 8, 7, 7, 7},
		"the status topic is":      {map[string]int32{cfg.Topics.Status: 5}, 7, 0, 5, 7},
		"the forward topic is":     {map[string]int32{cfg.Topics.Forward: 3}, 7, 3, 0, 7},
		"the status topic decides": {map[string]int32{cfg.Topics.Status: 5, "consent.retry-1m": 3}, 6, 0, 5, 7},
		"the request topic is":     {map[string]int32{cfg.Topics.Requests: 40}, 7, 7, 7, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(map[string]int32)
			for _, s := range Absent(cfg, tc.have, 7) {
				got[s.Name] = s.Partitions
			}
			if len(got) != tc.absent || got[cfg.Topics.Status] != tc.status || got[cfg.Topics.Forward] != tc.forward || got[cfg.Topics.Requests] != tc.requests {
				t.Errorf("got %v, want %+v", got, tc)
			}
		})
	}
}

func TestNeeded_CountsTheChangesTopicOnlyWhenThereIsOne(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	without := Names(cfg)
	cfg.Topics.Changes = "changes"
	if with := Names(cfg); slices.Contains(without, "") || !slices.Contains(with, "changes") || len(with) != len(without)+1 {
		t.Errorf("got %v and %v", without, with)
	}
}

// world makes the topics of a configuration, changed by alter; false: the topic is not made.
func world(t *testing.T, b *kafkatest.Broker, alter func(cfg config.Config, s *broker.TopicSpec) bool) (config.Config, *broker.Cluster) {
	t.Helper()
	cfg := config.Default()
	topics := &cfg.Topics
	for _, name := range []*string{&topics.Requests, &topics.Results, &topics.Status, &topics.Forward, &topics.RetryPrefix, &topics.DeadLetters} {
		*name = b.Topic(t, *name)
	}
	cfg.Retry.Delays = []string{"1m"}
	for _, s := range Needed(cfg) {
		s.Partitions = 3
		if s.Configs == nil {
			s.Configs = make(map[string]string)
		}
		if alter(cfg, &s) {
			kafkatest.CreateTopic(t, b.Addr(), s.Name, int(s.Partitions), s.Configs)
		}
	}
	c := broker.Open(broker.Options{Brokers: []string{b.Addr()}, Topics: Names(cfg)})
	t.Cleanup(c.Close)
	return cfg, c
}

func TestCheck_FindsExactlyWhatDiffers(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		for name, tc := range map[string]struct {
			setting, value string
			on             func(config.Config) string
			want           string // the setting that is found
			wrong          bool
		}{
			"nothing":                              {"retention.ms", "-1", func(c config.Config) string { return c.Topics.Forward }, "", false},
			"status that is deleted by age":        {"cleanup.policy", "delete", func(c config.Config) string { return c.Topics.Status }, "cleanup.policy", true},
			"status that is deleted by age too":    {"cleanup.policy", "compact,delete", func(c config.Config) string { return c.Topics.Status }, "cleanup.policy", true},
			"results that are compacted":           {"cleanup.policy", "compact", func(c config.Config) string { return c.Topics.Results }, "cleanup.policy", true},
			"small forwarded requests":             {"max.message.bytes", "1048588", func(c config.Config) string { return c.Topics.Forward }, "max.message.bytes", true},
			"small results":                        {"max.message.bytes", "100000", func(c config.Config) string { return c.Topics.Results }, "max.message.bytes", false},
			"more replicas in sync than there are": {"min.insync.replicas", "2", func(c config.Config) string { return c.Topics.Requests }, "min.insync.replicas", true},
			"parked requests that are deleted":     {"retention.ms", "3600000", func(c config.Config) string { return c.Topics.RetryPrefix + "-1m" }, "retention.ms", true},
			"parked requests bounded by size":      {"retention.bytes", "1000000", func(c config.Config) string { return c.Topics.RetryPrefix + "-1m" }, "retention.bytes", false},
			"requests that are deleted soon":       {"retention.ms", "3600000", func(c config.Config) string { return c.Topics.Requests }, "retention.ms", false},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cfg, c := world(t, b, func(cfg config.Config, s *broker.TopicSpec) bool {
					if s.Name == tc.on(cfg) {
						s.Configs[tc.setting] = tc.value
					}
					return true
				})
				summaries, found := checked(t, c, cfg)
				if len(summaries) != 6 || summaries[0].Partitions != 3 || summaries[0].Replicas != 1 || !summaries[0].Exists {
					t.Errorf("got %+v, want 6 topics of 3 partitions with one replica", summaries)
				}
				if tc.want == "" && len(found) == 0 {
					return
				}
				if len(found) != 1 || found[0].Topic != tc.on(cfg) || found[0].Setting != tc.want || found[0].Wrong != tc.wrong || found[0].Do == "" || found[0].Why == "" {
					t.Errorf("got %+v, want %s of %s alone", found, tc.want, tc.on(cfg))
				}
			})
		}
	})
}

// checked returns what is found but that these brokers keep one replica.
func checked(t *testing.T, c *broker.Cluster, cfg config.Config) ([]Summary, []Finding) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	summaries, found, err := Check(ctx, c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return summaries, slices.DeleteFunc(found, func(f Finding) bool { return f.Found == "has one replica" && !f.Wrong })
}

func TestCheck_NamesWhatIsAbsentOrHasOtherPartitions(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		cfg, c := world(t, b, func(cfg config.Config, s *broker.TopicSpec) bool {
			if s.Name == cfg.Topics.Forward {
				s.Partitions = 4
			}
			return s.Name != cfg.Topics.DeadLetters
		})
		_, found := checked(t, c, cfg)
		got := make(map[string]string)
		for _, f := range found {
			if f.Wrong && f.Setting == "" {
				got[f.Key] = f.Found
			}
		}
		want := map[string]string{"topics.dead_letters": "does not exist", "topics.forward": "has 4 partitions, " + cfg.Topics.Status + " has 3"}
		if len(found) != 2 || !maps.Equal(got, want) {
			t.Errorf("got %+v, want %v", found, want)
		}
		if kafkatest.TopicExists(t, b.Addr(), cfg.Topics.DeadLetters) {
			t.Error("the check created a topic")
		}
	})
}

func TestMerge_PutsTogetherWhatIsAlike(t *testing.T) {
	t.Parallel()
	alike := func(topic, key, found string) Finding { return Finding{Topic: topic, Key: key, Found: found} }
	got := Merge([]Finding{alike("a", "k1", "x"), alike("b", "k2", "y"), alike("c", "k3", "x"), alike("d", "k3", "x")})
	if len(got) != 2 || !slices.Equal(got[0].Topics, []string{"a", "c", "d"}) || !slices.Equal(got[0].Keys, []string{"k1", "k3"}) || !slices.Equal(got[1].Topics, []string{"b"}) {
		t.Errorf("got %+v", got)
	}
}

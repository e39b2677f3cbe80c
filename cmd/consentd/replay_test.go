package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/kafkatest"
	"consentd/replay"
	"consentd/schemas"
	"consentd/wechat/wechattest"
)

var fiveClasses = []schemas.Class{schemas.NotFound, schemas.OutOfScope, schemas.NoAnswer, schemas.Rejected, schemas.Expired}

const fiftyCorps = 50

// letter is the i-th dead letter, of five classes and 50 corps.
func (w *world) letter(i int) *kgo.Record {
	corp := fmt.Sprintf("ww%d", i/len(fiveClasses)%fiftyCorps)
	return &kgo.Record{
		Topic: w.topics.deadLetters, Key: []byte(corp),
		Value: fmt.Appendf(nil, `{ "corp_id":%q, "kind":"single","open_userid":"a","external_userid":"wm%d" }`, corp, i),
		Headers: []kgo.RecordHeader{
			{Key: "traceparent", Value: fmt.Appendf(nil, "00-%032x-0000000000000001-01", i+1)},
			{Key: schemas.HeaderErrorClass, Value: []byte(fiveClasses[i%len(fiveClasses)])},
			{Key: schemas.HeaderErrcode, Value: []byte("301061")},
			{Key: schemas.HeaderRequestID, Value: fmt.Appendf(nil, "r-%d", i)},
		},
	}
}

func (w *world) produceLetters(n int) {
	w.t.Helper()
	letters := make([]*kgo.Record, n)
	for i := range letters {
		letters[i] = w.letter(i)
	}
	kafkatest.Produce(w.t, w.broker.Addr(), letters...)
}

// replayedOnce fails the test unless the request topic has each of the dead letters that are wanted exactly once, as it was.
func (w *world) replayedOnce(want func(*kgo.Record) bool) {
	w.t.Helper()
	left := make(map[string]*kgo.Record)
	for _, r := range kafkatest.ReadAll(w.t, w.broker.Addr(), w.topics.deadLetters) {
		if want(r) {
			left[fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)] = r
		}
	}
	wanted := len(left)
	for _, r := range kafkatest.ReadAll(w.t, w.broker.Addr(), w.topics.requests) {
		from := header(r, replay.HeaderFrom)
		original := left[from]
		if original == nil {
			w.t.Fatalf("%s %s is not wanted, or there twice", from, r.Value)
		}
		delete(left, from)
		if string(r.Key) != string(original.Key) || string(r.Value) != string(original.Value) {
			w.t.Fatalf("%s: got %q %q, want %q %q", from, r.Key, r.Value, original.Key, original.Value)
		}
		kept := slices.DeleteFunc(slices.Clone(r.Headers), func(h kgo.RecordHeader) bool { return strings.HasPrefix(h.Key, "consentd-replay-") })
		if fmt.Sprint(kept) != fmt.Sprint(original.Headers) || len(r.Headers) != len(kept)+3 || header(r, replay.HeaderCount) != "1" {
			w.t.Fatalf("%s: headers %v, want %v and three of the replay", from, r.Headers, original.Headers)
		}
	}
	if len(left) > 0 {
		w.t.Errorf("%d of %d are not there", len(left), wanted)
	}
}

func any5(*kgo.Record) bool { return true }

func TestLarge_ReplayPublishesExactlyWhatTheDryRunCounted(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		letters := sized(100_000)
		w.produceLetters(letters)
		o := w.consentd("replay", "--json")
		w.said(o, exitDone)
		var plan replay.Plan
		if err := json.Unmarshal([]byte(o.out), &plan); err != nil {
			t.Fatal(err)
		}
		if plan.Records != int64(letters) || len(plan.Classes) != 5 || len(plan.Corps) != fiftyCorps {
			t.Errorf("got %d records, classes %v, corps %v", plan.Records, plan.Classes, plan.Corps)
		}
		partitions := make(map[int32]int64)
		for _, r := range kafkatest.ReadAll(t, b.Addr(), w.topics.deadLetters) {
			partitions[r.Partition]++
			plan.Classes[schemas.Class(header(r, schemas.HeaderErrorClass))]--
			plan.Corps[string(r.Key)]--
		}
		for what, n := range plan.Classes {
			if n != 0 {
				t.Errorf("class %s: counted %d too many", what, n)
			}
		}
		for what, n := range plan.Corps {
			if n != 0 {
				t.Errorf("corp %s: counted %d too many", what, n)
			}
		}
		for _, p := range plan.Partitions {
			if p.Records != partitions[p.Partition] {
				t.Errorf("partition %d: %d records, want %d", p.Partition, p.Records, partitions[p.Partition])
			}
		}
		w.said(w.consentd("replay", "--error-class", "not_found"), exitDone,
			fmt.Sprintf("%d,000 of %d,000 records", letters/5000, letters/1000), "Nothing was written")
		if n := len(kafkatest.ReadAll(t, b.Addr(), w.topics.requests)); n != 0 {
			t.Fatalf("%d records were written by a dry run", n)
		}

		w.said(w.consentd("replay", "--error-class", "not_found,rejected", "--corp", "ww7", "--execute", "--yes", "--json"), exitDone,
			`"done":true`, fmt.Sprintf(`"published":%d`, letters*2/5/fiftyCorps))
		w.replayedOnce(func(r *kgo.Record) bool {
			class := header(r, schemas.HeaderErrorClass)
			return string(r.Key) == "ww7" && (class == "not_found" || class == "rejected")
		})
	})
}

var replayID = regexp.MustCompile(`--resume (\S+)`)

// replaying starts a replay of all dead letters in a process of its own, and returns when it has published some: its id.
func (w *world) replaying(atLeast int, args ...string) (p *process, id string) {
	w.t.Helper()
	p = command(w.t, append([]string{"replay", "--config", w.config, "--execute", "--yes"}, args...)...)
	p.awaitLog("--resume")
	m := replayID.FindSubmatch(p.log.Bytes())
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	kafkatest.Follow(ctx, w.t, w.broker.Addr(), w.topics.requests, func(all []*kgo.Record) bool { return len(all) >= atLeast })
	return p, string(m[1])
}

func TestLarge_ReplayKilledInTheMiddleAndResumedPublishesEachOnce(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		letters := sized(100_000)
		w.produceLetters(letters)
		p, id := w.replaying(3000, "--rate", "4000")
		p.kill()
		if n := len(kafkatest.ReadAll(t, b.Addr(), w.topics.requests)); n >= letters {
			t.Fatalf("all %d records were published before the kill", n)
		}
		p, again := w.replaying(6000, "--resume", id)
		if again != id {
			t.Errorf("it goes on as %s, want %s", again, id)
		}
		p.kill()
		// Without the rate that it was begun with.
		o := w.consentd("replay", "--resume", id, "--rate", "0", "--execute", "--yes", "--json")
		w.said(o, exitDone)
		var s replay.Summary
		if err := json.Unmarshal([]byte(o.out), &s); err != nil || !s.Done || s.Published+s.PublishedBefore != int64(letters) || s.PublishedBefore < 6000 {
			t.Errorf("got %+v, %v, want %d in all", s, err, letters)
		}
		w.replayedOnce(any5)
		w.said(w.consentd("replay", "--resume", id, "--execute", "--yes"), exitDone, "0 of 0 records")
		w.replayedOnce(any5)
	})
}

func TestReplay_InterruptedSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	w.produceLetters(20_000)
	p, id := w.replaying(3000, "--rate", "4000")
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d, want 1", code)
	}
	p.awaitLog("interrupted", "to go on: consentd replay --config", "--resume "+id+" --execute --yes")
	w.said(w.consentd("replay", "--resume", id), exitDone, "The rest of replay "+id, "published before")
	w.said(w.consentd("replay", "--resume", id, "--rate", "0", "--execute", "--yes"), exitDone, "Done")
	w.replayedOnce(any5)
}

func TestReplay_OfRequestsOntoThemselvesEndsAndAsksEachAgain(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		const requests = 3000
		var lines []string
		for i := range requests {
			lines = append(lines, asked{corp: "ww1", staff: "a", customer: fmt.Sprintf("wm%d", i)}.request(fmt.Sprintf("r-%d", i)))
		}
		w.produceLines(lines)
		daemon := w.start()
		w.await(requests)
		w.said(w.consentd("replay", "--topic", w.topics.requests, "--rate", "2000", "--execute", "--yes"), exitDone, "3,000 of 3,000 records published")
		answers, ids := make(map[string]int), make(map[string]bool)
		for _, e := range w.await(2 * requests) {
			if e.Type == "consent.checked" {
				answers[e.Request.ID]++
				ids[e.ID] = true
			}
		}
		daemon.stop()
		if len(ids) != 2*requests || len(answers) != requests {
			t.Errorf("%d events with an id of their own for %d requests, want %d for %d", len(ids), len(answers), 2*requests, requests)
		}
		if n := len(kafkatest.ReadAll(t, b.Addr(), w.topics.requests)); n != 2*requests {
			t.Errorf("%d records in the request topic, want %d", n, 2*requests)
		}
	})
}

func TestReplay_LeavesOutWhatWasReplayedTooOften(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	often, once := w.letter(0), w.letter(1)
	often.Headers = append(often.Headers, kgo.RecordHeader{Key: replay.HeaderCount, Value: []byte("3")})
	kafkatest.Produce(t, w.broker.Addr(), often, once)
	place := ""
	for _, r := range kafkatest.ReadAll(t, w.broker.Addr(), w.topics.deadLetters) {
		if header(r, replay.HeaderCount) != "" {
			place = fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)
		}
	}
	w.said(w.consentd("replay"), exitDone, "1 of 2 records", "1 record replayed too often already (--max-replays): "+place)
	w.said(w.consentd("replay", "--execute", "--yes"), exitDone, "1 of 1 record published", place)
	w.replayedOnce(func(r *kgo.Record) bool { return header(r, replay.HeaderCount) == "" })
	w.said(w.consentd("replay", "--max-replays", "4"), exitDone, "2 of 2 records")
}

func TestReplay_SelectsByRangeHeaderKeyAndLatest(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	old := w.letter(0)
	old.Timestamp = time.Now().Add(-2 * time.Hour)
	kafkatest.Produce(t, w.broker.Addr(), old)
	w.produceLetters(500) // the first of them is the old one's request again
	for _, tc := range []struct{ args, want string }{
		{"--from -1h", "500 of 500 records"},
		{"--from -1h --to now", "500 of 500 records"},
		{"--to -1h", "1 of 1 record"},
		{"--from -3h --to -1h", "1 of 1 record"},
		{"--dedupe", "500 of 501 records"},
		{"--key ww3", "10 of 501 records"},
		{"--header consentd-request-id=r-7", "1 of 501 records"},
		{"--errcode 301061 --max 7", "7 of "},
		{"--max 7", "494 records beyond --max"},
		{"--errcode 45009", "0 of 501 records"},
	} {
		w.said(w.consentd(append([]string{"replay"}, strings.Fields(tc.args)...)...), exitDone, tc.want)
	}
}

func TestReplay_OfTheLatestUpToABoundIsTheSameWhenItIsResumed(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	const conversations, superseded, bound = 4000, 2000, 1500
	old := make([]*kgo.Record, superseded)
	for i := range old {
		old[i] = w.letter(i)
		old[i].Timestamp = time.Now().Add(-time.Hour)
		old[i].Headers = append(old[i].Headers, kgo.RecordHeader{Key: "superseded"})
	}
	kafkatest.Produce(t, w.broker.Addr(), old...)
	w.produceLetters(conversations)
	p, id := w.replaying(300, "--dedupe", "--max", fmt.Sprint(bound), "--rate", "500")
	p.signal(syscall.SIGINT)
	p.wait()
	w.said(w.consentd("replay", "--resume", id, "--rate", "0", "--execute", "--yes"), exitDone, "Done")
	all := kafkatest.ReadAll(t, w.broker.Addr(), w.topics.requests)
	if len(all) != bound {
		t.Errorf("%d records, want %d", len(all), bound)
	}
	for _, r := range all {
		if slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "superseded" }) {
			t.Fatalf("published though a later one supersedes it: %s", r.Value)
		}
	}
}

func TestReplay_WhatWasReplayedBeforeIsSaidAndAtLastLeftOut(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		w.produceLetters(50)
		w.said(w.consentd("replay", "--corp", "ww3", "--execute", "--yes"), exitDone, "5 of 5 records published")
		w.said(w.consentd("replay"), exitDone, "50 of 50 records", "5 of them")
		w.said(w.consentd("replay", "--corp", "ww3", "--execute", "--yes"), exitDone, "5 of 5 records published")
		w.said(w.consentd("replay", "--max-replays", "2"), exitDone, "45 of 50 records", "5 records replayed too often already")
		counts := make(map[string]int)
		for _, r := range kafkatest.ReadAll(t, b.Addr(), w.topics.requests) {
			counts[header(r, replay.HeaderCount)]++
		}
		if counts["1"] != 5 || counts["2"] != 5 {
			t.Errorf("the records say that they were replayed so often: %v", counts)
		}
	})
}

func TestReplay_LeavesOutAndNamesWhatCanNotBeReplayed(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	large, command, cut := w.letter(0), w.letter(1), w.letter(2)
	large.Value = append(large.Value, bytes.Repeat([]byte(" "), 3000)...)
	target := w.broker.Topic(t, "target")
	kafkatest.CreateTopic(t, w.broker.Addr(), target, 3, map[string]string{"max.message.bytes": "2000"})
	command.Headers = append(command.Headers, kgo.RecordHeader{Key: schemas.HeaderCommand, Value: []byte(schemas.CommandForget)})
	cut.Headers = append(cut.Headers, kgo.RecordHeader{Key: schemas.HeaderTruncated, Value: []byte("2000000")})
	kafkatest.Produce(t, w.broker.Addr(), large, command, cut, w.letter(3))
	w.said(w.consentd("replay", "--to", target), exitDone, "1 of 4 records", "3 records that can't be replayed")
	w.said(w.consentd("replay", "--to", target, "--execute", "--yes"), exitDone, "1 of 1 record published", "3 records that can't be replayed", w.topics.deadLetters+"/")
	if all := kafkatest.ReadAll(t, w.broker.Addr(), target); len(all) != 1 || string(all[0].Value) != string(w.letter(3).Value) {
		t.Errorf("got %v", all)
	}
}

func TestReplay_AtLeastOnceResumesToo(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	w.addSettings("delivery: at_least_once")
	w.produceLetters(10_000)
	p, id := w.replaying(2000, "--rate", "4000")
	p.signal(syscall.SIGINT)
	p.wait()
	w.said(w.consentd("replay", "--resume", id, "--rate", "0", "--execute", "--yes"), exitDone, "Done")
	w.replayedOnce(any5)
}

func TestReplay_RefusesWhatIsWrongBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	w.produceLetters(10)
	for _, tc := range []struct {
		args  []string
		texts []string
	}{
		{[]string{"--from", "-1h", "--to", "-2h"}, []string{"range is empty"}},
		{[]string{"--to", "-2h"}, []string{"range is empty"}},
		{[]string{"--offsets", "0:9-3"}, []string{"range is empty"}},
		{[]string{"--from", "2026-11-23T01:02:03"}, []string{"zone"}},
		{[]string{"--from", "yesterday"}, []string{"--from", "RFC 3339"}},
		{[]string{"--error-class", "lost"}, []string{"unknown error class", "not_found"}},
		{[]string{"--topic", "no-such-topic"}, []string{"no-such-topic does not exist"}},
		{[]string{"--to", "no-such-topic"}, []string{"no-such-topic does not exist"}},
		{[]string{"--to", w.topics.deadLetters}, []string{"onto itself"}},
		{[]string{"--topic", w.topics.results}, []string{"--to"}},
		{[]string{"--to", w.topics.status}, []string{"the daemon's own"}},
		{[]string{"--to", w.topics.results}, []string{"the daemon's own"}},
		{[]string{"--to", "6h"}, []string{"RFC 3339"}},
		{[]string{"--key", "\xff"}, []string{"UTF-8"}},
		{[]string{"--corp", ""}, []string{"--corp is empty"}},
		{[]string{"--resume", ""}, []string{"--resume is empty"}},
		{[]string{"--rate", "1e-12"}, []string{"--rate"}},
		{[]string{"--partition", "7"}, []string{"no partition 7"}},
		{[]string{"--corp", "a b"}, []string{"corp id"}},
		{[]string{"--rate", "-1"}, []string{"--rate"}},
		{[]string{"--max-replays", "0"}, []string{"--max-replays"}},
		{[]string{"--resume", "no-such-replay"}, []string{"there is no such replay"}},
		{[]string{"--resume", "x", "--corp", "ww1"}, []string{"--corp stands beside --resume"}},
		{[]string{"--execute"}, []string{"--yes"}},
	} {
		args := append([]string{"replay"}, tc.args...)
		if tc.args[0] != "--execute" {
			args = append(args, "--execute", "--yes")
		}
		o := w.consentd(args...)
		w.said(o, exitUsage, tc.texts...)
		if o.out != "" || strings.Count(o.stderr, "\n") != 1 {
			t.Errorf("%s: want one line on stderr: %+v", tc.args, o)
		}
	}
	if n := len(kafkatest.ReadAll(t, w.broker.Addr(), w.topics.requests)); n != 0 {
		t.Errorf("%d records were written", n)
	}
}

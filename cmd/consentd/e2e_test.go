package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/broker"
	"consentd/internal/kafkatest"
	"consentd/schemas"
	"consentd/wechat/wechattest"
)

// asked is a conversation that the end-to-end test asks about, with what the API says.
type asked struct {
	corp, staff, customer, room string
	members                     []string
}

func (a asked) request(id string) string {
	if a.room != "" {
		return fmt.Sprintf(`{"request_id":%q,"corp_id":%q,"kind":"room","chatid":%q}`, id, a.corp, a.room)
	}
	return fmt.Sprintf(`{"request_id":%q,"corp_id":%q,"kind":"single","open_userid":%q,"external_userid":%q}`, id, a.corp, a.staff, a.customer)
}

func (a asked) key() string {
	if a.room != "" {
		return a.corp + "/room/" + a.room
	}
	return a.corp + "/single/" + a.staff + "/" + a.customer
}

func (a asked) set(sim *wechattest.Simulator, status string, at int64) {
	if a.room == "" {
		sim.SetSingle(a.corp, a.staff, a.customer, wechattest.Status{AgreeStatus: status, ChangeTime: at})
		return
	}
	var members []wechattest.Member
	for _, m := range a.members {
		members = append(members, wechattest.Member{ExternalUserID: m, Status: wechattest.Status{AgreeStatus: status, ChangeTime: at}})
	}
	sim.SetRoom(a.corp, a.room, members)
}

const (
	firstTime  = 1_700_000_000
	secondTime = 1_700_000_500
)

// produceLines publishes requests, in the order given: with kcat on Apache Kafka, so that a client of another make has
// written what the daemon reads.
func (w *world) produceLines(lines []string) {
	w.t.Helper()
	if w.broker.Kind() != "apache" {
		records := make([]*kgo.Record, len(lines))
		for i, line := range lines {
			records[i] = w.request(fmt.Sprint(i), line)
		}
		kafkatest.Produce(w.t, w.broker.Addr(), records...)
		return
	}
	kcat := kafkatest.Tool(w.t, "kcat", "kcat")
	file := filepath.Join(w.t.TempDir(), "requests.jsonl")
	w.write(file, strings.Join(lines, "\n")+"\n")
	out, err := exec.CommandContext(w.t.Context(), kcat, "-b", w.broker.Addr(), "-P", "-t", w.topics.requests, "-l", file).CombinedOutput()
	if err != nil {
		w.t.Fatalf("kcat: %v: %s", err, out)
	}
}

func TestDaemon_AnswersEachItemOnceAndReportsExactlyTheChanges(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{Delay: 5 * time.Millisecond})
		random := rand.New(rand.NewPCG(1, 2))
		const singles, rooms = 10_000, 200
		var all []asked
		for i := range singles {
			all = append(all, asked{corp: fmt.Sprintf("ww%d", 1+i%3), staff: fmt.Sprintf("staff%d", i%50), customer: fmt.Sprintf("wm%06d", i)})
		}
		members := 0
		for i := range rooms {
			a := asked{corp: fmt.Sprintf("ww%d", 1+i%3), room: fmt.Sprintf("wr%06d", i)}
			for m := range i % 4 {
				a.members = append(a.members, fmt.Sprintf("wm-room-%d", m))
				members++
			}
			all = append(all, a)
		}
		for _, a := range all {
			a.set(w.sim, "Agree", firstTime)
		}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		ask := func(round string) {
			lines := make([]string, len(all))
			for i, a := range all {
				lines[i] = a.request(round + a.key())
			}
			w.produceLines(lines)
		}

		ask("first:")
		d := w.start()
		w.await(len(all))
		d.stop()
		first := w.events()
		w.wantAnswers(first, all, "first:")
		changes := changesOf(first)
		if len(changes) != singles+members {
			t.Errorf("%d changes after the first check, want a first_seen for each of %d pairs and %d members", len(changes), singles, members)
		}
		for _, c := range changes {
			if c.Change != "first_seen" || c.Previous != nil || c.Current == nil || c.Current.AgreeStatus != "Agree" {
				t.Fatalf("change at the first check: %+v", c)
			}
		}
		// Each corp's last call is made when there is no backlog any more.
		if calls := w.sim.Stats().Calls.Single; float64(calls-3)/(singles/100) > 1.02 {
			t.Errorf("%d calls for %d pairs that were all waiting: more than 1.02 times the ideal: %+v", calls, singles, w.sim.Stats().Corps)
		} else {
			t.Logf("%d single calls for %d pairs", calls, singles)
		}

		flipped := make(map[string]asked)
		for _, i := range random.Perm(len(all))[:len(all)/20] {
			flipped[all[i].key()] = all[i]
			all[i].set(w.sim, "Disagree", secondTime)
		}
		ask("second:")
		d = w.start()
		w.await(2 * len(all))
		d.stop()
		events := w.events()
		w.wantAnswers(events, all, "second:")
		if len(events) != len(first)+len(all)+changesWanted(flipped) {
			t.Errorf("%d events after the second check, want %d, %d answers and %d changes", len(events), len(first), len(all), changesWanted(flipped))
		}
		got := make(map[string]int)
		for _, c := range changesOf(events) {
			if c.Change == "first_seen" {
				continue // counted above
			}
			a, ok := flipped[c.Subject]
			if !ok {
				t.Fatalf("change of a conversation that did not change: %+v", c)
			}
			version := int64(2)
			if a.room != "" {
				version = int64(len(a.members) + slices.Index(a.members, c.ExternalUserID) + 1)
			}
			if c.Change != "withdrawn" || *c.Previous != (consent{"Agree", firstTime}) || *c.Current != (consent{"Disagree", secondTime}) || c.Version != version {
				t.Errorf("change %+v, previous %v, current %v: want withdrawn from Agree to Disagree with version %d", c, c.Previous, c.Current, version)
			}
			got[c.Subject]++
		}
		for key, a := range flipped {
			if want := max(len(a.members), 1); a.room == "" && got[key] != want || a.room != "" && got[key] != len(a.members) {
				t.Errorf("%s: %d changes, want %d", key, got[key], want)
			}
		}
		w.wantStatus(events)
		w.wantAllCommitted()
	})
}

func changesWanted(flipped map[string]asked) int {
	n := 0
	for _, a := range flipped {
		if a.room != "" {
			n += len(a.members)
		} else {
			n++
		}
	}
	return n
}

func changesOf(events []event) []event {
	return slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.Type != "consent.changed" })
}

// wantAnswers wants exactly one consent.checked for each request of a round.
func (w *world) wantAnswers(events []event, all []asked, round string) {
	w.t.Helper()
	answers := make(map[string]int)
	for _, e := range events {
		if e.Type == "consent.checked" && strings.HasPrefix(e.Request.ID, round) {
			answers[e.Request.ID]++
			if e.Subject != strings.TrimPrefix(e.Request.ID, round) {
				w.t.Errorf("the answer to %s is about %s", e.Request.ID, e.Subject)
			}
		} else if e.Type == "consent.failed" {
			w.t.Errorf("failed: %+v", e)
		}
	}
	for _, a := range all {
		if n := answers[round+a.key()]; n != 1 {
			w.t.Errorf("%d answers to %s, want 1", n, round+a.key())
		}
	}
}

// wantStatus wants the status topic to say what the last change of each pair said, in the partition of its corp.
func (w *world) wantStatus(events []event) {
	w.t.Helper()
	status := make(map[string]schemas.Status)
	corpPartition := make(map[string]int32)
	for _, r := range kafkatest.ReadAll(w.t, w.broker.Addr(), w.topics.status) {
		c, err := schemas.ParseKey(string(r.Key))
		if err != nil {
			w.t.Fatal(err)
		}
		if p, ok := corpPartition[c.CorpID]; ok && p != r.Partition {
			w.t.Errorf("%s is in status partition %d, its corp in %d", r.Key, r.Partition, p)
		}
		corpPartition[c.CorpID] = r.Partition
		if status[string(r.Key)], err = schemas.DecodeStatus(c.Kind, r.Value); err != nil {
			w.t.Fatalf("%s: %v", r.Key, err)
		}
	}
	versions := make(map[string]int64)
	for _, e := range changesOf(events) {
		if e.Version != versions[e.Subject]+1 {
			w.t.Errorf("%s: version %d follows %d", e.Subject, e.Version, versions[e.Subject])
		}
		versions[e.Subject] = e.Version
		if e.Kind == "single" && e.Version == status[e.Subject].Version && e.Current.AgreeStatus != status[e.Subject].AgreeStatus {
			w.t.Errorf("%s: status %+v, last change %+v", e.Subject, status[e.Subject], e)
		}
	}
	for key, v := range versions {
		if status[key].Version != v {
			w.t.Errorf("%s: version %d in the status topic, %d in the changes", key, status[key].Version, v)
		}
	}
}

// wantAllCommitted wants the group's offsets at the end of the request topic.
func (w *world) wantAllCommitted() {
	w.t.Helper()
	for _, topic := range append(w.retryTopics(), w.topics.forward, w.topics.requests) {
		committed := kafkatest.CommittedOffsets(w.t, w.broker.Addr(), w.topics.requests, topic)
		for _, r := range kafkatest.ReadAll(w.t, w.broker.Addr(), topic) {
			if committed[r.Partition] <= r.Offset {
				w.t.Errorf("the committed offset of %s/%d is %d: it is not beyond the record at %d", topic, r.Partition, committed[r.Partition], r.Offset)
			}
		}
	}
}

// load publishes requests of ten pairs each and returns how many items they have.
func (w *world) load(requests int) int {
	w.t.Helper()
	const pairs = 10
	records := make([]*kgo.Record, requests)
	for i := range records {
		corp := fmt.Sprintf("ww%d", 1+i%3)
		var items []string
		for j := range pairs {
			items = append(items, fmt.Sprintf(`{"open_userid":"s%d","external_userid":"wm%d"}`, i%7, i*pairs+j))
		}
		records[i] = w.request(corp, fmt.Sprintf(`{"request_id":"load-%d","corp_id":%q,"kind":"single","items":[%s],"context":{"n":%d}}`,
			i, corp, strings.Join(items, ","), i))
	}
	kafkatest.Produce(w.t, w.broker.Addr(), records...)
	return requests * pairs
}

// holdUp leaves some of the load undone until the simulator's faults are cleared: however late a test is with what it does
// next, it comes in the middle.
func (w *world) holdUp() { w.sim.Script(wechattest.Fault{Corp: "ww1", Skip: 10, Hang: true}) }

// wantEveryItem wants each item of the load answered, and a repeat of an event to carry the id of the first.
func wantEveryItem(t testing.TB, events []event, items int) (repeated int) {
	t.Helper()
	ids := make(map[string]string)
	for _, e := range events {
		if !e.terminal() {
			continue
		}
		if e.Type != "consent.checked" {
			t.Errorf("failed: %+v", e)
		}
		if id, ok := ids[e.item()]; ok {
			repeated++
			if id != e.ID {
				t.Errorf("item %s was answered with ids %s and %s", e.item(), id, e.ID)
			}
		}
		ids[e.item()] = e.ID
	}
	if len(ids) != items {
		t.Errorf("%d items were answered, want %d", len(ids), items)
	}
	return repeated
}

// eachDelivery runs a test with exactly-once delivery on both brokers, and with at-least-once on the embedded one.
func eachDelivery(t *testing.T, test func(t *testing.T, b *kafkatest.Broker, delivery string)) {
	t.Helper()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		test(t, b, "exactly_once")
	})
	t.Run("at_least_once", func(t *testing.T) {
		t.Parallel()
		test(t, kafkatest.Embedded(t), "at_least_once")
	})
}

// deliver sets how events are delivered.
func (w *world) deliver(delivery string) {
	w.t.Helper()
	config, err := os.ReadFile(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(w.config, string(config)+"delivery: "+delivery+"\n")
}

// wantDelivered wants every item to be answered, and unless events may be repeated, every answer and every change once.
func (w *world) wantDelivered(delivery string, items int) {
	w.t.Helper()
	events := w.events()
	repeated := wantEveryItem(w.t, events, items)
	changes := make(map[string]int64)
	for _, e := range changesOf(events) {
		if e.Version != changes[e.Subject]+1 {
			repeated++
		}
		changes[e.Subject] = e.Version
	}
	if repeated > 0 && delivery == "exactly_once" {
		w.t.Errorf("%d answers or changes were repeated", repeated)
	}
	w.t.Logf("%d answers or changes repeated", repeated)
	w.wantAllCommitted()
}

func TestDaemon_KilledInTheMiddleLosesNothing(t *testing.T) {
	t.Parallel()
	eachDelivery(t, func(t *testing.T, b *kafkatest.Broker, delivery string) {
		w := setup(t, b, wechattest.Options{Delay: 50 * time.Millisecond})
		w.deliver(delivery)
		items := w.load(1000)
		w.holdUp()
		d := w.start()
		w.await(items / 10)
		d.kill()
		w.sim.ClearFaults()
		d = w.start()
		w.await(items)
		d.stop()
		w.wantDelivered(delivery, items)
	})
}

func TestDaemon_ToldToStopUnderLoadRepeatsNothing(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{Delay: 50 * time.Millisecond})
		items := w.load(1000)
		d := w.start()
		w.await(items / 10)
		d.stop()
		d = w.start()
		w.await(items)
		d.stop()
		if n := wantEveryItem(t, w.events(), items); n > 0 {
			t.Errorf("%d answers were repeated", n)
		}
		w.wantStatus(w.events())
		w.wantAllCommitted()
	})
}

func TestDaemon_RestoresACompactedStatusTopicWhole(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Apache(t), wechattest.Options{})
	const pairs = 500
	var all []asked
	for i := range pairs {
		all = append(all, asked{corp: fmt.Sprintf("ww%d", 1+i%3), staff: "s", customer: fmt.Sprintf("wm%d", i)})
	}
	terminal := 0
	ask := func(round string) {
		var records []*kgo.Record
		for _, a := range all {
			records = append(records, w.request(a.corp, a.request(round+a.key())))
		}
		kafkatest.Produce(t, w.broker.Addr(), records...)
		d := w.start()
		terminal += len(all)
		w.await(terminal)
		d.stop()
	}
	for round := range 3 {
		for _, a := range all {
			a.set(w.sim, []string{"Agree", "Disagree"}[round%2], firstTime+int64(round))
		}
		ask(fmt.Sprintf("change-%d:", round))
	}
	// Whole batches go: every pair was written three times. What is written last is in the segment that the cleaner
	// leaves alone, so a record of another corp closes it.
	place, filled := broker.NewPartitioner(5), make(map[int32]bool)
	for i := 0; len(filled) < 5; i++ {
		corp := fmt.Sprintf("filler%d", i)
		p := place.Partition([]byte(corp))
		if filled[p] {
			continue
		}
		filled[p] = true
		kafkatest.ProduceTo(t, w.broker.Addr(), &kgo.Record{
			Topic: w.topics.status, Partition: p, Key: []byte(corp + "/single/s/wm1"),
			Value: []byte(`{"agree_status":"Agree","status_change_time":1,"checked_at":"2026-01-01T00:00:00.000Z","version":1}`),
		})
	}
	kafkatest.AwaitCompacted(t, w.broker, w.topics.status, func(left []*kgo.Record) bool {
		keys := make(map[string]int)
		for _, r := range left {
			keys[string(r.Key)]++
		}
		return !slices.ContainsFunc(slices.Collect(maps.Values(keys)), func(n int) bool { return n > 1 })
	})
	for round := range 3 {
		ask(fmt.Sprintf("again-%d:", round))
	}
	if n := len(changesOf(w.events())); n != 3*pairs {
		t.Errorf("%d changes, want %d: a restart forgot some of the status", n, 3*pairs)
	}
	w.wantStatus(w.events())
}

func TestDaemon_GoesOnAfterTheBrokerWasKilledAndRestarted(t *testing.T) {
	t.Parallel()
	b := kafkatest.Apache(t)
	w := setup(t, b, wechattest.Options{Delay: 20 * time.Millisecond})
	// At least once: a broker alone that is killed between a commit and its markers loses the transaction, see
	// docs/operations.md.
	w.deliver("at_least_once")
	items := w.load(1000)
	w.holdUp()
	d := w.start()
	w.await(items / 10)
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	w.sim.ClearFaults()
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	w.await(items)
	d.stop()
	w.wantDelivered("at_least_once", items)
}

// badRequests are kinds of requests that can't be decoded. What is wrong with each is tested in package schemas; here,
// that each costs one failure and one dead letter and nothing else.
func badRequests() map[string][]byte {
	large := bytes.Repeat([]byte("x"), 1<<20)
	valid := `"corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"b"`
	bad := map[string]string{
		"empty": "", "space": " ", "text": "hello", "number": "7", "null literal": "null", "array": "[]", "string": `"x"`,
		"empty object": "{}", "cut off": `{"corp_id":`, "cut off string": `{"corp_id":"w`, "two values": "{" + valid + "}{}",
		"bytes after": "{" + valid + "}x", "trailing comma": "{" + valid + ",}", "comment": "{" + valid + "/**/}",
		"single quotes": `{'corp_id':'ww1'}`, "BOM": "\xef\xbb\xbf{" + valid + "}", "UTF-16": "\xff\xfe{\x00}\x00",
		"invalid UTF-8": "{" + valid + `,"context":"` + "\xff" + `"}`, "lone surrogate": "{" + valid + `,"context":"\ud800"}`,
		"NUL": "\x00", "binary": "\x00\x01\x02\xff", "duplicate key": "{" + valid + `,"corp_id":"ww1"}`,
		"duplicate in context": "{" + valid + `,"context":{"a":1,"a":2}}`,
		"duplicate in items":   `{"corp_id":"ww1","kind":"single","items":[{"open_userid":"a","open_userid":"b","external_userid":"c"}]}`,
		"no corp":              `{"kind":"single","open_userid":"a","external_userid":"b"}`, "corp is a number": `{"corp_id":1,"kind":"room","chatid":"c"}`,
		"corp too long": `{"corp_id":"` + strings.Repeat("w", 129) + `","kind":"room","chatid":"c"}`, "corp with a slash": `{"corp_id":"w/w","kind":"room","chatid":"c"}`,
		"no kind": `{"corp_id":"ww1","chatid":"c"}`, "unknown kind": `{"corp_id":"ww1","kind":"group","chatid":"c"}`, "kind null": `{"corp_id":"ww1","kind":null,"chatid":"c"}`,
		"room without chat": `{"corp_id":"ww1","kind":"room"}`, "room with a pair": `{"corp_id":"ww1","kind":"room","chatid":"c","open_userid":"a"}`,
		"room with items": `{"corp_id":"ww1","kind":"room","chatid":"c","items":[]}`, "single with chat": "{" + valid + `,"chatid":"c"}`,
		"pair and items": "{" + valid + `,"items":[{"open_userid":"a","external_userid":"b"}]}`, "no items": `{"corp_id":"ww1","kind":"single","items":[]}`,
		"items an object": `{"corp_id":"ww1","kind":"single","items":{}}`, "item a string": `{"corp_id":"ww1","kind":"single","items":["a"]}`,
		"item id a number": `{"corp_id":"ww1","kind":"single","items":[{"open_userid":1,"external_userid":"b"}]}`,
		"1001 items":       `{"corp_id":"ww1","kind":"single","items":[` + strings.Repeat(`{"open_userid":"a","external_userid":"b"},`, 1000) + `{"open_userid":"a","external_userid":"b"}]}`,
		"half a pair":      `{"corp_id":"ww1","kind":"single","open_userid":"a"}`, "id with a space": `{"corp_id":"ww1","kind":"single","open_userid":"a a","external_userid":"b"}`,
		"request id empty": "{" + valid + `,"request_id":""}`, "request id too long": "{" + valid + `,"request_id":"` + strings.Repeat("r", 129) + `"}`,
		"request id not ASCII": "{" + valid + `,"request_id":"é"}`, "request id a number": "{" + valid + `,"request_id":7}`,
		"age negative": "{" + valid + `,"max_age_seconds":-1}`, "age fractional": "{" + valid + `,"max_age_seconds":1.5}`,
		"age a string": "{" + valid + `,"max_age_seconds":"1"}`, "age too large": "{" + valid + `,"max_age_seconds":31536001}`,
		"context too large": "{" + valid + `,"context":"` + strings.Repeat("c", 4096) + `"}`,
		"deep":              strings.Repeat("[", 20_000), "record too large": "{" + valid + `,"x":"` + string(large) + `"}`,
	}
	values := map[string][]byte{"tombstone": nil}
	for name, value := range bad {
		values[name] = []byte(value)
	}
	return values
}

func TestBadRequests_EachCostsOneFailureAndOneDeadLetterAndNothingElse(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		bad := badRequests()
		names := slices.Sorted(maps.Keys(bad))
		for i, name := range names {
			key := []byte(nil)
			if i%2 == 0 {
				key = []byte("key of " + name)
			}
			kafkatest.ProduceTo(t, b.Addr(),
				&kgo.Record{
					Topic: w.topics.requests, Partition: int32(i % 6), Key: key, Value: bad[name],
					Headers: []kgo.RecordHeader{{Key: "name", Value: []byte(name)}, {Key: "consentd-error", Value: []byte("of an earlier life")}},
				},
				&kgo.Record{
					Topic: w.topics.requests, Partition: int32(i % 6),
					Value: fmt.Appendf(nil, `{"request_id":"good-%d","corp_id":"ww1","kind":"single","items":[{"open_userid":"a","external_userid":"wm%d"},{"open_userid":"","external_userid":"x"}]}`, i, i),
				})
		}
		// Not only values can be too large.
		huge := bytes.Repeat([]byte("k"), 1_050_000)
		kafkatest.ProduceTo(t, b.Addr(),
			&kgo.Record{Topic: w.topics.requests, Key: huge, Value: []byte("{}")},
			&kgo.Record{Topic: w.topics.requests, Key: huge[:1_048_000], Value: []byte("{}")},
			&kgo.Record{Topic: w.topics.requests, Value: []byte("{}"), Headers: []kgo.RecordHeader{{Key: "huge", Value: huge}}})
		const large = 3
		d := w.start()
		w.await(3*len(names) + large)
		d.stop()

		counts := make(map[string]int)
		for _, e := range w.events() {
			switch {
			case !e.terminal():
			case strings.HasPrefix(e.Request.ID, "good-") && e.Request.Index == 0 && e.Type == "consent.checked":
				counts["good"]++
			case strings.HasPrefix(e.Request.ID, "good-") && e.Request.Index == 1 && e.Error.Class == "invalid_request" && e.Subject == "":
				counts["invalid item"]++
			case e.Error.Class == "invalid_request" && e.CorpID == "" && e.Error.Message != "":
				counts["invalid request"]++
			default:
				t.Errorf("unexpected: %+v", e)
			}
		}
		want := map[string]int{"good": len(names), "invalid item": len(names), "invalid request": len(names) + large}
		if !maps.Equal(counts, want) {
			t.Errorf("events %v, want %v", counts, want)
		}
		letters := make(map[string]*kgo.Record)
		for _, r := range kafkatest.ReadAll(t, b.Addr(), w.topics.deadLetters) {
			if name := header(r, "name"); name != "" {
				if letters[name] != nil {
					t.Errorf("%s has two dead letters", name)
				}
				letters[name] = r
			}
		}
		for i, name := range names {
			r := letters[name]
			if r == nil {
				t.Errorf("%s has no dead letter", name)
				continue
			}
			want := bad[name]
			if len(want) > 1<<20 {
				if got := header(r, "consentd-truncated"); got != fmt.Sprint(len(want)) {
					t.Errorf("%s: consentd-truncated is %q, want %d", name, got, len(want))
				}
				want = want[:64<<10]
			}
			if !bytes.Equal(r.Value, want) || (r.Value == nil) != (want == nil) {
				t.Errorf("%s: the dead letter has other bytes than the request: %.100q", name, r.Value)
			}
			if (r.Key == nil) != (i%2 != 0) || r.Key != nil && string(r.Key) != "key of "+name {
				t.Errorf("%s: the dead letter's key is %q", name, r.Key)
			}
			if header(r, "consentd-error-class") != "invalid_request" || strings.Contains(header(r, "consentd-error"), "earlier life") ||
				!strings.HasPrefix(header(r, "consentd-origin"), w.topics.requests+"/") {
				t.Errorf("%s: headers %v", name, r.Headers)
			}
		}
		w.wantAllCommitted()
	})
}

func TestRun_SaysInOneLineWhatIsWrongAndExits(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	w := setup(t, b, wechattest.Options{})
	absent := filepath.Join(t.TempDir(), "absent.yaml")
	w.write(absent, fmt.Sprintf("kafka: {brokers: [%q]}\ntopics: {requests: nowhere, results: nothing}\n%s", b.Addr(), anyPort))
	typo := filepath.Join(t.TempDir(), "typo.yaml")
	w.write(typo, "batch: {sice: 10}\n")
	unreachable := filepath.Join(t.TempDir(), "unreachable.yaml")
	w.write(unreachable, "kafka: {brokers: [\"127.0.0.1:1\"]}\n"+anyPort)
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"absent topics", []string{"run", "--config", absent}, exitFailed, "topic nowhere does not exist: create it, or set topics.create: true"},
		{"unreachable broker", []string{"run", "--config", unreachable}, exitFailed, "kafka.brokers 127.0.0.1:1"},
		{"typo", []string{"run", "--config", typo}, exitUsage, "batch.size"},
		{"no such file", []string{"run", "--config", filepath.Join(t.TempDir(), "none.yaml")}, exitUsage, "none.yaml"},
		{"unknown flag", []string{"run", "--verbose"}, exitUsage, "unknown flag: --verbose"},
		{"unknown command", []string{"walk"}, exitUsage, "walk"},
		{"argument", []string{"version", "now"}, exitUsage, "now"},
		{"unknown topic of help", []string{"help", "walk"}, exitUsage, "walk"},
		{"unknown shell", []string{"completion", "dos"}, exitUsage, "dos"},
		{"address in use", []string{"simulate", "--listen", b.Addr()}, exitFailed, "--listen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := command(t, c.args...)
			if code := p.wait(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			var lines []string
			for line := range strings.Lines(string(p.log.Bytes())) {
				if strings.HasPrefix(line, "consentd: ") {
					lines = append(lines, line)
				}
			}
			if len(lines) != 1 || !strings.Contains(lines[0], c.want) {
				t.Errorf("want one line that says %q, got:\n%s", c.want, p.log.Bytes())
			}
			if n := strings.Count(string(p.log.Bytes()), "can't be reached"); n > 3 {
				t.Errorf("%d lines say that the cluster can't be reached, want the first, one after 10 s and one at the end:\n%s", n, p.log.Bytes())
			}
		})
	}
	t.Cleanup(func() {
		for _, topic := range []string{"nowhere", "nothing", "consent.status"} {
			if kafkatest.TopicExists(withContext{t}, b.Addr(), topic) {
				t.Errorf("topic %s was created by accident", topic)
			}
		}
	})
}

func TestSecrets_AreNowhereWhenEverythingFails(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	w := setup(t, b, wechattest.Options{TokenTTL: time.Second})
	w.change("max_age: 10m", "max_age: 10s")
	wrong := filepath.Join(t.TempDir(), "wrong")
	w.write(wrong, canary+"-wrong")
	static := filepath.Join(t.TempDir(), "static")
	w.write(static, canary+"-static")
	config, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.write(w.config, string(config)+fmt.Sprintf("  - {corp_id: wwwrong, token: {source: gettoken, secret_file: %q}}\n"+
		"  - {corp_id: wwstatic, token: {source: static, value_file: %q}}\n"+
		"  - {corp_id: wwfile, token: {source: file, path: %q}}\n", wrong, static, static)+"log: {level: debug}\n")
	w.sim.Script(wechattest.Fault{Corp: "ww1", CloseConnection: true})
	w.sim.Script(wechattest.Fault{Corp: "ww2", HTTPStatus: 502, Body: "<html>bad gateway</html>"})
	w.sim.Script(wechattest.Fault{Corp: "ww3", Errcode: 48002, Errmsg: "api forbidden " + canary})
	corps := []string{"ww1", "ww2", "ww3", "wwwrong", "wwstatic", "wwfile", "wwunknown"}
	for _, corp := range corps {
		kafkatest.Produce(t, b.Addr(), w.request(corp, asked{corp: corp, staff: "a", customer: "wm1"}.request("r-"+corp)))
	}
	d := w.start()
	classes := make(map[string]string)
	for _, e := range w.await(len(corps)) {
		classes[e.CorpID] = e.Error.Class
	}
	d.stop()
	parked := make(map[string]string)
	for _, topic := range w.retryTopics() {
		for _, r := range kafkatest.ReadAll(t, b.Addr(), topic) {
			parked[string(r.Key)] = header(r, schemas.HeaderErrorClass)
		}
	}
	want := map[string]string{
		"ww1": "transient", "ww2": "transient", "ww3": "corp_stopped", "wwwrong": "corp_stopped", "wwstatic": "token", "wwfile": "token",
	}
	if !maps.Equal(parked, want) {
		t.Errorf("parked as %v, want %v", parked, want)
	}
	for corp := range want {
		want[corp] = "expired"
	}
	want["wwunknown"] = "unknown_corp"
	if !maps.Equal(classes, want) {
		t.Errorf("failed as %v, want %v", classes, want)
	}
	if n := len(kafkatest.ReadAll(t, b.Addr(), w.topics.deadLetters)); n != len(corps) {
		t.Errorf("%d dead letters, want %d", n, len(corps))
	}
}

func TestDaemon_ThatStallsAndWakesUpDoesNoHarm(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{Delay: 50 * time.Millisecond})
		items := w.load(1000)
		w.holdUp()
		d := w.start()
		w.await(items / 10)
		d.signal(syscall.SIGSTOP)
		w.sim.ClearFaults()
		// The group gives its place away meanwhile, and the brokers abort its transaction.
		kafkatest.AwaitEmptyGroup(t, b.Addr(), w.topics.requests)
		d.signal(syscall.SIGCONT)
		w.await(items)
		d.stop()
		w.wantDelivered("exactly_once", items)
	})
}

func TestDaemon_TwoOfTheSameInstanceEndWithAClearError(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	w := setup(t, b, wechattest.Options{})
	first, second := w.start(), w.start()
	feeding, stop := context.WithCancel(t.Context())
	var fed sync.WaitGroup
	fed.Go(func() {
		for i := 0; feeding.Err() == nil; i++ {
			kafkatest.Produce(t, b.Addr(), w.request(fmt.Sprint(i), pairsRequest(fmt.Sprint(i), "ww1", 1)))
		}
	})
	defer fed.Wait()
	defer stop()
	loser := first
	select {
	case <-first.exited:
	case <-second.exited:
		loser = second
	case <-time.After(time.Minute):
		t.Fatal("both go on")
	}
	if code := loser.wait(); code != exitFailed || !strings.Contains(string(loser.log.Bytes()), "give each its own `instance`") {
		t.Errorf("exit code %d, want 1 and a line that names the instance:\n%s", code, loser.log.Bytes())
	}
}

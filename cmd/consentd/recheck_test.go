package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/broker"
	"consentd/internal/bulk"
	"consentd/internal/kafkatest"
	"consentd/internal/quantity"
	"consentd/wechat/wechattest"
)

// known is a conversation whose status is in the topic before the daemon starts, last checked at a time.
type known struct {
	asked
	checkedAt time.Time
}

// seed writes what is known as the daemon does, all of it Agree, version 1, and has the simulator say the same.
func (w *world) seed(all ...known) {
	w.t.Helper()
	place := broker.NewPartitioner(5)
	records := make([]*kgo.Record, len(all))
	for i, k := range all {
		k.set(w.sim, "Agree", firstTime)
		consent := fmt.Sprintf(`"agree_status":"Agree","status_change_time":%d`, firstTime)
		if k.room != "" {
			var members []string
			for _, m := range k.members {
				members = append(members, fmt.Sprintf(`{"external_userid":%q,%s}`, m, consent))
			}
			consent = `"members":[` + strings.Join(members, ",") + `]`
		}
		value := fmt.Sprintf(`{%s,"checked_at":%q,"version":1}`, consent, k.checkedAt.UTC().Format("2006-01-02T15:04:05.000Z"))
		records[i] = &kgo.Record{Topic: w.topics.status, Partition: place.Partition([]byte(k.corp)), Key: []byte(k.key()), Value: []byte(value)}
	}
	kafkatest.ProduceTo(w.t, w.broker.Addr(), records...)
}

// manyKnown are pairs of three corps, checked two days ago.
func manyKnown(n int) []known {
	all := make([]known, n)
	for i := range all {
		all[i] = known{
			asked{corp: fmt.Sprintf("ww%d", 1+i%3), staff: fmt.Sprintf("staff%d", i%50), customer: fmt.Sprintf("wm%06d", i)},
			time.Now().Add(-48 * time.Hour),
		}
	}
	return all
}

// withdraw has some of them change their mind without telling anybody, and returns their keys.
func (w *world) withdraw(all []known, n int) map[string]bool {
	withdrawn := make(map[string]bool)
	for i := range n {
		k := all[i*(len(all)/n)]
		k.set(w.sim, "Disagree", secondTime)
		withdrawn[k.key()] = true
	}
	return withdrawn
}

// sawExactly fails the test unless the changes are one withdrawal of each, as version 2.
func (w *world) sawExactly(events []event, withdrawn map[string]bool) {
	w.t.Helper()
	seen := make(map[string]bool)
	for _, e := range events {
		if e.Type != "consent.changed" {
			continue
		}
		if e.Change != "withdrawn" || e.Version != 2 || !withdrawn[e.Subject] || seen[e.Subject] {
			w.t.Errorf("unwanted change %+v", e)
		}
		seen[e.Subject] = true
	}
	if len(seen) != len(withdrawn) {
		w.t.Errorf("%d withdrawals were found, want %d", len(seen), len(withdrawn))
	}
}

func TestLarge_RecheckFindsEverySilentWithdrawal(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		conversations, silent := sized(100_000), sized(1000)
		all := manyKnown(conversations)
		recent := all[0]
		recent.customer, recent.checkedAt = "recent", time.Now()
		stranger := all[0]
		stranger.corp = "stranger"
		w.seed(append(all, recent, stranger)...)
		withdrawn := w.withdraw(all, silent)

		args := []string{"recheck", "--older-than", "24h"}
		calls := 3 * (conversations/300 + 1)
		w.said(w.consentd(args...), exitDone, quantity.Of(calls, "call"), "not configured", "stranger", "Nothing was written")
		var survey bulk.Survey
		o := w.consentd(append(args, "--json")...)
		if err := json.Unmarshal([]byte(o.out), &survey); err != nil || survey.Conversations != conversations || survey.Corps["ww1"] != (conversations+2)/3 {
			t.Fatalf("got %+v, %v of %+v", survey, err, o)
		}
		if n := len(kafkatest.ReadAll(t, b.Addr(), w.topics.requests)); n > 0 {
			t.Fatalf("%d requests were written by a dry run", n)
		}

		w.said(w.consentd(append(args, "--execute", "--yes", "--rate", "0")...), exitDone,
			fmt.Sprintf("asked about %s in %s", quantity.Of(conversations, "conversation"), quantity.Of(calls, "request")))
		daemon := w.start()
		events := w.await(conversations)
		daemon.stop()
		w.sawExactly(events, withdrawn)
	})
}

func TestRecheck_SelectsAndKeepsTheRate(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	all := manyKnown(30)
	room := known{asked{corp: "ww2", room: "wr1", members: []string{"wm1", "wm2"}}, time.Now().Add(-48 * time.Hour)}
	w.seed(append(all, room)...)
	w.said(w.consentd("recheck", "--kind", "room", "--execute", "--yes"), exitDone, "asked about 1 conversation in 1 request")
	w.said(w.consentd("recheck", "--corp", "ww3", "--kind", "single", "--agree-status", "Agree", "--execute", "--yes", "--rate", "100", "--json"),
		exitDone, `{"requests":1,"conversations":10}`)
	w.said(w.consentd("recheck", "--agree-status", "Disagree", "--execute", "--yes"), exitDone, "asked about 0 conversations")
	w.said(w.consentd("recheck", "--older-than", "10s"), exitDone, "status.refresh")
	for _, r := range kafkatest.ReadAll(t, w.broker.Addr(), w.topics.requests) {
		if !strings.Contains(string(r.Value), `"request_id":"recheck-`) {
			t.Errorf("a request does not say what it is for: %s", r.Value)
		}
	}
	for name, args := range map[string][]string{
		"--kind":       {"--kind", "rom"},
		"--rate":       {"--rate", "-1"},
		"--older-than": {"--older-than", "-1h"},
		"--yes":        {"--execute"},
	} {
		w.said(w.consentd(append([]string{"recheck"}, args...)...), exitUsage, name)
	}
}

func TestForget_ForgetsTheCustomerInOrderWithTheChecks(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		pair := func(corp, staff, customer string) known {
			return known{asked{corp: corp, staff: staff, customer: customer}, time.Now()}
		}
		room := func(id string, members ...string) known {
			return known{asked{corp: "ww1", room: id, members: members}, time.Now()}
		}
		gone := []known{pair("ww1", "a", "wm1"), pair("ww1", "b", "wm1"), room("wr1", "wm0", "wm1")}
		kept := []known{pair("ww1", "a", "wm2"), pair("ww2", "a", "wm1"), room("wr2", "wm0")}
		w.seed(append(gone, kept...)...)
		daemon := w.start()
		daemon.awaitLog("assigned")

		args := []string{"forget", "--corp", "ww1", "--external-userid", "wm1"}
		w.said(w.consentd(args...), exitDone, "ww1/room/wr1", "Nothing was written")
		if n := len(kafkatest.ReadAll(t, b.Addr(), w.topics.forward)); n > 0 {
			t.Fatalf("%d records were written by a dry run", n)
		}
		w.said(w.consentd(append(args, "--execute", "--yes", "--wait")...), exitDone, "3 conversations handed over")
		for _, k := range gone {
			w.said(w.consentd("status", "--key", k.key()), exitFailed, "nothing is known")
		}
		for _, k := range kept {
			w.said(w.consentd("status", "--key", k.key()), exitDone, k.key())
		}
		w.said(w.consentd(append(args, "--execute", "--yes")...), exitDone, "nothing to forget")

		// The owner's memory has forgotten too, and nobody was told of anything.
		if events := w.events(); len(events) > 0 {
			t.Errorf("events: %+v", events)
		}
		w.said(w.consentd("submit", "--corp", "ww1", "--open-userid", "a", "--external-userid", "wm1", "--max-age", "1h", "--wait"), exitDone, "(api)")
		w.said(w.consentd("submit", "--corp", "ww1", "--open-userid", "a", "--external-userid", "wm2", "--max-age", "1h", "--wait"), exitDone, "(status)")
		var changes []event
		for _, e := range w.events() {
			if e.Type == "consent.changed" {
				changes = append(changes, e)
			}
		}
		if len(changes) != 1 || changes[0].Change != "first_seen" || changes[0].Version != 1 || changes[0].Subject != "ww1/single/a/wm1" {
			t.Errorf("changes %+v, want one first_seen of version 1", changes)
		}

		// One that is being asked about is forgotten when the answer is there: it does not come back by it.
		w.sim.SetDelay(2 * time.Second)
		w.said(w.consentd("submit", "--corp", "ww1", "--open-userid", "a", "--external-userid", "wm2", "--request-id", "slow"), exitDone)
		w.awaitCall()
		w.said(w.consentd("forget", "--corp", "ww1", "--external-userid", "wm2", "--execute", "--yes", "--wait", "--json"), exitDone, `"conversations":1`)
		w.await(3)
		daemon.stop()
		w.said(w.consentd("status", "--key", "ww1/single/a/wm2"), exitFailed, "nothing is known")
	})
}

// awaitCall returns when the simulator has a call that is not answered yet.
func (w *world) awaitCall() {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); w.sim.Stats().Concurrency == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			w.t.Fatal("no call was made")
		}
	}
}

func TestForget_ACorpGoesWithAllThatIsKnownOfIt(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	all := manyKnown(3000)
	w.seed(all...)
	w.start().awaitLog("assigned")
	w.said(w.consentd("forget", "--corp", "ww2", "--execute", "--yes", "--wait"), exitDone, "1,000 conversations handed over to be forgotten, in 10 requests")
	if n := len(w.consentd("status", "--all").lines()); n != 2000 {
		t.Errorf("%d conversations are known, want 2000", n)
	}
}

func TestForget_SaysThatNothingIsKnownOfWhatIsNamed(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	args := []string{"forget", "--corp", "ww1", "--open-userid", "a", "--external-userid", "wm-typo"}
	o := w.consentd(args...)
	w.said(o, exitDone, neverChecked, "ww1/single/a/wm-typo")
	if strings.Contains(o.out, "last checked") {
		t.Errorf("it was never checked: %s", o.out)
	}
	w.said(w.consentd(append(args, "--json")...), exitDone, `"never_checked":1`)
	w.said(w.consentd(append(args, "--execute", "--yes")...), exitDone, neverChecked, "1 conversation handed over")
}

func TestForget_RefusesWhatNobodyMeans(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	for name, args := range map[string][]string{
		"--corp":            {"--external-userid", "wm1"},
		"--external-userid": {"--corp", "ww1", "--external-userid", ""},
		"--open-userid":     {"--corp", "ww1", "--open-userid", "a b"},
		"--timeout":         {"--corp", "ww1", "--timeout", "0s"},
		"--yes":             {"--corp", "ww1", "--execute"},
	} {
		w.said(w.consentd(append([]string{"forget"}, args...)...), exitUsage, name)
	}
}

func TestForget_IsNotObeyedInTheRequestTopic(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	k := manyKnown(1)[0]
	w.seed(k)
	r := w.request("ww1", k.request("r-1"))
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "consentd-command", Value: []byte("forget")})
	kafkatest.Produce(t, w.broker.Addr(), r)
	w.start()
	if events := w.await(1); events[0].Type != "consent.checked" {
		t.Errorf("got %+v, want an answer", events)
	}
	w.said(w.consentd("status", "--key", k.key()), exitDone)
}

func TestSchedule_FindsSilentWithdrawalsByItselfAndAsksOnce(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		const conversations, silent = 3000, 30
		all := manyKnown(conversations)
		room := known{asked{corp: "ww2", room: "wr1", members: []string{"wm1"}}, all[0].checkedAt}
		stranger, recent := all[0], all[0]
		stranger.corp = "stranger"
		recent.customer, recent.checkedAt = "recent", time.Now()
		older := slices.Clone(all[:100]) // a log that is not compacted has several records of a conversation
		for i := range older {
			older[i].checkedAt = older[i].checkedAt.Add(-time.Hour)
		}
		w.seed(slices.Concat(older, all, []known{room, stranger, recent})...)
		withdrawn := w.withdraw(all, silent)
		// The second pass begins when those of the first are answered, on any machine.
		w.addSettings("recheck: {every: 15s, older_than: 24h, rate: 100000}")
		daemon := w.start()
		daemon.awaitLog(`"asked":3001`)
		events := w.await(conversations + 1)
		daemon.awaitLog(`"asked":0`)
		daemon.stop()
		w.sawExactly(events, withdrawn)
		for _, e := range events {
			if !strings.HasPrefix(e.Request.ID, "recheck-") {
				t.Errorf("an event that says nothing of a recheck: %+v", e)
			}
		}
		calls := w.sim.Stats()
		if calls.Items != conversations || calls.Calls.Single > conversations/100+3 || calls.Calls.Room != 1 {
			t.Errorf("%d pairs in %+v, want each pair once and full calls", calls.Items, calls.Calls)
		}
		if n := len(kafkatest.ReadAll(t, b.Addr(), w.topics.requests)); n > 0 {
			t.Errorf("%d records in the request topic, want none", n)
		}
	})
}

// addSettings adds lines to the configuration.
func (w *world) addSettings(lines string) {
	w.t.Helper()
	settings, err := os.ReadFile(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(w.config, string(settings)+lines+"\n")
}

func TestSchedule_LeavesTheCallsToRequestsThatWait(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{Delay: 200 * time.Millisecond})
	const due = 30
	all := manyKnown(12_000) // so many that asking about those that are due need not be spread over a long time
	for i := range all[due:] {
		all[due+i].checkedAt = time.Now()
	}
	w.seed(all...)
	w.addSettings("recheck: {every: 1m, older_than: 24h, rate: 100000}")
	const requests, pairs = 100, 100
	var lines []string
	for i := range requests {
		var items []string
		for j := range pairs {
			items = append(items, fmt.Sprintf(`{"open_userid":"a","external_userid":"live-%d-%d"}`, i, j))
		}
		lines = append(lines, fmt.Sprintf(`{"request_id":"live-%d","corp_id":"ww1","kind":"single","items":[%s]}`, i, strings.Join(items, ",")))
	}
	w.produceLines(lines)
	w.change("consumer: {", "consumer: {max_in_flight: 1000, ")
	w.start()
	w.await(requests*pairs + due)
	answered := 0 // of those who waited, before the first recheck was made
	asked := kafkatest.ReadAll(t, w.broker.Addr(), w.topics.forward)
	for _, r := range kafkatest.ReadAll(t, w.broker.Addr(), w.topics.results) {
		if strings.Contains(string(r.Value), `"id":"live-`) && header(r, "ce_type") == "consent.checked" && r.Timestamp.Before(asked[0].Timestamp) {
			answered++
		}
	}
	if answered < requests*pairs*3/4 {
		t.Errorf("only %d of %d who waited were answered before the schedule asked", answered, requests*pairs)
	}
}

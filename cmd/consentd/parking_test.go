package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/kafkatest"
	"consentd/schemas"
	"consentd/wechat/wechattest"
)

// pairsRequest asks for pairs 0 to n-1 of a corp in one request.
func pairsRequest(id, corp string, n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"open_userid":"a","external_userid":"wm%d"}`, i)
	}
	return fmt.Sprintf(`{"request_id":%q,"corp_id":%q,"kind":"single","items":[%s],"context":{"msgid":"77"}}`, id, corp, strings.Join(items, ","))
}

// awaitParked returns the records of the first retry topic, once there are so many.
func (w *world) awaitParked(n int) []*kgo.Record {
	w.t.Helper()
	return kafkatest.Follow(w.t.Context(), w.t, w.broker.Addr(), w.retryTopics()[0], func(all []*kgo.Record) bool { return len(all) >= n })
}

func TestParking_OnlyWhatFailedIsParkedAndAnsweredByItselfLater(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		const items, batch = 150, 100
		// The call with the second batch fails, again and again.
		w.sim.Script(wechattest.Fault{Corp: "ww1", ID: "wm120", Errcode: -1})
		record := w.request("its key", pairsRequest("r-1", "ww1", items))
		record.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}}
		kafkatest.Produce(t, b.Addr(), record)
		d := w.start()
		parked := w.awaitParked(1)[0]
		if n := len(changesOf(w.events())); n != batch {
			t.Errorf("%d changes when the rest was parked, want those of the first call: %d", n, batch)
		}
		w.sim.ClearFaults()
		w.await(items)
		d.stop()
		events := w.events()

		var request struct {
			CorpID string           `json:"corp_id"`
			Items  []map[string]any `json:"items"`
		}
		if err := json.Unmarshal(parked.Value, &request); err != nil || len(request.Items) != items-batch || request.CorpID != "ww1" {
			t.Errorf("parked %s: want the request narrowed to %d items", parked.Value, items-batch)
		}
		origin := fmt.Sprintf("%s/%d/%d", w.topics.requests, record.Partition, record.Offset)
		for name, want := range map[string]string{
			schemas.HeaderErrorClass: "transient", schemas.HeaderErrcode: "-1", schemas.HeaderOrigin: origin,
			schemas.HeaderItemCount: fmt.Sprint(items), schemas.HeaderKey: "its key", schemas.HeaderTraceParent: string(record.Headers[0].Value),
		} {
			if got := header(parked, name); got != want {
				t.Errorf("header %s is %q, want %q", name, got, want)
			}
		}
		if string(parked.Key) != "ww1" {
			t.Errorf("parked with key %q, want the corp id", parked.Key)
		}
		seen := make(map[int]string)
		for _, e := range events {
			if !e.terminal() {
				continue
			}
			want := fmt.Sprintf("%s/%d", origin, e.Request.Index)
			if e.Type != "consent.checked" || e.ID != want || e.Request.ID != "r-1" || e.Request.Count != items || string(e.Context) != `{"msgid":"77"}` {
				t.Errorf("event %+v: want an answer with id %s", e, want)
			}
			if seen[e.Request.Index] != "" {
				t.Errorf("two terminal events of item %d", e.Request.Index)
			}
			seen[e.Request.Index] = e.ExternalUserID
			if e.ExternalUserID != fmt.Sprintf("wm%d", e.Request.Index) {
				t.Errorf("item %d is answered with %s", e.Request.Index, e.ExternalUserID)
			}
		}
		if len(seen) != items {
			t.Errorf("%d items have terminal events, want %d", len(seen), items)
		}
		w.wantAllCommitted()
	})
}

func TestParking_ARequestOfAlmost1MiBIsStillOneWithOurHeaders(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	w := setup(t, b, wechattest.Options{})
	w.sim.Script(wechattest.Fault{Corp: "ww1", Errcode: 45009, Count: 1})
	key := "its key"
	head := `{"request_id":"large","corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"wm1","note":"`
	const left = 200 // so that a topic takes it that has no settings
	value := head + strings.Repeat("n", 1<<20-left-len(head)-len(`"}`)-len(key)) + `"}`
	kafkatest.Produce(t, b.Addr(), w.request(key, value))
	d := w.start()
	parked := w.awaitParked(1)
	if string(parked[0].Value) != value {
		t.Error("it was not parked as it was sent")
	}
	d.stop()
}

func TestParking_WhatIsNeverAnsweredExpires(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	w := setup(t, b, wechattest.Options{})
	w.change("max_age: 10m", "max_age: 10s")
	w.sim.Script(wechattest.Fault{Corp: "ww1", Errcode: 45033})
	kafkatest.Produce(t, b.Addr(), w.request("its key", pairsRequest("r-1", "ww1", 2)))
	d := w.start()
	events := w.await(2)
	d.stop()
	d.awaitLog("a request expired", `"corp_id":"ww1"`, `"class":"expired"`, `"errcode":45033`, `"items":2`, `"hint":"`)
	for _, e := range events {
		if e.Error.Class != "expired" || e.Error.Errcode != 45033 || !strings.Contains(e.Error.Message, "rate_limited") {
			t.Errorf("event %+v: want class expired, and the last failure", e)
		}
	}
	letters := kafkatest.ReadAll(t, b.Addr(), w.topics.deadLetters)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want 1 for both items", len(letters))
	}
	if l := letters[0]; string(l.Key) != "its key" || string(l.Value) != pairsRequest("r-1", "ww1", 2) || header(l, schemas.HeaderErrorClass) != "expired" {
		t.Errorf("dead letter with key %q, class %s, value %s: want the original", l.Key, header(l, schemas.HeaderErrorClass), l.Value)
	}
	w.wantAllCommitted()
}

func TestParking_RequestsUnderAFormerDelayAreTakenUpToo(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	w := setup(t, b, wechattest.Options{})
	former := w.topics.retry + "-500ms"
	kafkatest.CreateTopic(t, b.Addr(), former, 3, nil)
	kafkatest.Produce(t, b.Addr(), &kgo.Record{
		Topic: former, Key: []byte("ww1"), Value: []byte(pairsRequest("r-1", "ww1", 1)),
		Headers: []kgo.RecordHeader{{Key: schemas.HeaderOrigin, Value: []byte("elsewhere/1/2")}, {Key: schemas.HeaderNotBefore, Value: []byte("garbage")}},
	})
	d := w.start()
	events := w.await(1)
	d.stop()
	for _, e := range events {
		if e.terminal() && e.ID != "elsewhere/1/2/0" {
			t.Errorf("event %+v: want the id of its origin", e)
		}
	}
	if log := string(d.log.Bytes()); !strings.Contains(log, former) || !strings.Contains(log, "not in retry.delays any more") {
		t.Errorf("want a warning that names %s:\n%s", former, log)
	}
}

func TestCorps_ComeAndGoAndAreHealedWithoutARestart(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	w := setup(t, b, wechattest.Options{})
	dir := t.TempDir()
	list, secret := filepath.Join(dir, "corps.yaml"), filepath.Join(dir, "secret")
	w.write(secret, canary)
	w.write(list, fmt.Sprintf("- {corp_id: ww3, token: {source: gettoken, secret_file: %q}}\n", secret))
	config, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(config), "corps:")
	w.write(w.config, strings.Replace(before, "wechat: {", fmt.Sprintf("wechat: {corps_file: %q, ", list), 1))
	d := w.start()
	asked := 0
	ask := func(corp string) event {
		t.Helper()
		asked++
		kafkatest.Produce(t, b.Addr(), w.request(corp, pairsRequest(fmt.Sprintf("r-%d", asked), corp, 1)))
		for _, e := range w.await(asked) {
			if e.terminal() && e.Request.ID == fmt.Sprintf("r-%d", asked) {
				return e
			}
		}
		t.Fatalf("request %d has no answer", asked)
		return event{}
	}
	if e := ask("ww1"); e.Error.Class != "unknown_corp" {
		t.Errorf("a corp that is not in the list: %+v", e)
	}
	if e := ask("ww3"); e.Type != "consent.checked" {
		t.Errorf("the corp in the list: %+v", e)
	}
	w.write(list, "- {corp_id: ww1, token: 7}\n")
	d.awaitLog("the corps have changed, but can't be read", "corps.yaml:1: corps_file[0].token")
	if e := ask("ww3"); e.Type != "consent.checked" {
		t.Errorf("the corp of the last good list: %+v", e)
	}
	w.write(list, fmt.Sprintf("- {corp_id: ww1, token: {source: gettoken, secret_file: %q}}\n", secret))
	d.awaitLog("the corps have changed: they are read anew")
	if e := ask("ww3"); e.Error.Class != "unknown_corp" {
		t.Errorf("a corp that is gone: %+v", e)
	}
	if e := ask("ww1"); e.Type != "consent.checked" {
		t.Errorf("a corp that came: %+v", e)
	}
	d.stop()
}

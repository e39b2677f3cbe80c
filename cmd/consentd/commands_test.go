package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/kafkatest"
	"consentd/internal/lag"
	"consentd/wechat/wechattest"
)

// outcome is what a command line came to.
type outcome struct {
	code        int
	out, stderr string
}

// lines are those of the output.
func (o outcome) lines() []string {
	return slices.DeleteFunc(strings.Split(o.out, "\n"), func(line string) bool { return line == "" })
}

// consentd runs a command line with this world's configuration.
func (w *world) consentd(args ...string) outcome {
	w.t.Helper()
	var out, stderr bytes.Buffer
	code := run(append(args, "--config", w.config), &out, &stderr)
	o := outcome{code, out.String(), stderr.String()}
	for _, secret := range append(w.sim.Tokens(), canary) {
		if strings.Contains(o.out+o.stderr, secret) {
			w.t.Errorf("a secret or token in what %s says: %+v", args, o)
		}
	}
	return o
}

func (w *world) file(content string) string {
	path := filepath.Join(w.t.TempDir(), "file")
	w.write(path, content)
	return path
}

// said fails the test unless a command line came to this exit code, and all texts stand in what it said.
func (w *world) said(o outcome, code int, texts ...string) {
	w.t.Helper()
	if o.code != code {
		w.t.Errorf("exit code %d, want %d: %+v", o.code, code, o)
	}
	for _, text := range texts {
		if !strings.Contains(o.out+o.stderr, text) {
			w.t.Errorf("%q is not in %+v", text, o)
		}
	}
}

func TestSubmit_PrintsTheAnswersAndFailsWhenOneFails(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		asked{corp: "ww1", staff: "a", customer: "wm1"}.set(w.sim, "Agree", firstTime)
		w.start()

		one := []string{"submit", "--corp", "ww1", "--open-userid", "a", "--external-userid", "wm1", "--wait"}
		w.said(w.consentd(one...), exitDone, "submitted 1 request with 1 item", "ww1/single/a/wm1", "Agree (api)")
		o := w.consentd(append(one, "--json", "--max-age", "1h", "--context", `{"msgid":"77"}`, "--request-id", "r-1")...)
		w.said(o, exitDone, `"source":"status"`, `"request":{"id":"r-1","index":0,"count":1},"context":{"msgid":"77"}`)
		w.said(w.consentd("submit", "--corp", "ww1", "--chatid", "wr1", "--wait", "--json"), exitDone, `"kind":"room","chatid":"wr1"`)

		file := w.file(`{"corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"wm2"}

{"request_id":"r-2","corp_id":"ww2","kind":"single","items":[{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm1"}]}
{"request_id":null,"corp_id":"unknown","kind":"room","chatid":"wr1"}
`)
		o = w.consentd("submit", "--file", file, "--wait", "--json")
		w.said(o, exitFailed, "submitted 3 requests with 4 items", "1 of 4 items failed", `"class":"unknown_corp"`)
		if len(o.lines()) != 4 {
			t.Errorf("%d answers, want 4: %s", len(o.lines()), o.out)
		}
		for _, r := range kafkatest.ReadAll(t, b.Addr(), w.topics.requests) {
			if corp := struct {
				CorpID string `json:"corp_id"`
			}{}; json.Unmarshal(r.Value, &corp) != nil || string(r.Key) != corp.CorpID {
				t.Errorf("key %q of %s, want the corp id", r.Key, r.Value)
			}
			if id := header(r, "consentd-request-id"); strings.Contains(string(r.Value), `"request_id":"`) == (id != "") {
				t.Errorf("header with id %q beside %s", id, r.Value)
			}
		}

		w.said(w.consentd("submit", "--corp", "ww1", "--chatid", "wr1", "--key", "other"), exitDone)
		keyed := kafkatest.ReadAll(t, b.Addr(), w.topics.requests)
		if !slices.ContainsFunc(keyed, func(r *kgo.Record) bool { return string(r.Key) == "other" && header(r, "consentd-request-id") == "" }) {
			t.Error("no request has the key that was given, and no id")
		}

		w.sim.Script(wechattest.Fault{Corp: "ww3", Hang: true})
		defer w.sim.ClearFaults()
		w.said(w.consentd("submit", "--corp", "ww3", "--chatid", "wr1", "--wait", "--timeout", "1s", "--request-id", "late"), exitFailed,
			"1 answer did not come in time", "late")
	})
}

func TestSubmit_WritesNothingWhenALineIsWrong(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	good := `{"corp_id":"ww1","kind":"room","chatid":"wr1"}` + "\n"
	for name, tc := range map[string]struct {
		args  []string
		texts []string
	}{
		"lines": {
			[]string{"--file", w.file(good + "\nno JSON\n" + `{"corp_id":"ww1","kind":"single","items":[{"open_userid":"a b","external_userid":"wm1"}]}` + "\n" + `{"kind":"rom"}`)},
			[]string{"line 3: not valid JSON", "line 4: items[0]: open_userid", "line 5: kind", "line 5: corp_id: missing"},
		},
		"a line without end":  {[]string{"--file", w.file(good + strings.Repeat("x", 1<<21))}, []string{"line 2: is longer"}},
		"nothing in the file": {[]string{"--file", w.file("\n\n")}, []string{"no request"}},
		"no file":             {[]string{"--file", "/no/such/file"}, []string{"--file"}},
		"a folder":            {[]string{"--file", t.TempDir()}, []string{"--file"}},
		"flags beside a file": {[]string{"--file", "-", "--corp", "ww1"}, []string{"--corp stands beside --file"}},
		"no flags":            {nil, []string{"nothing to submit"}},
		"half a pair":         {[]string{"--corp", "ww1", "--open-userid", "a"}, []string{"external_userid"}},
		"a pair and a room":   {[]string{"--corp", "ww1", "--open-userid", "a", "--external-userid", "b", "--chatid", "wr1"}, []string{"not room"}},
		"no JSON in context":  {[]string{"--corp", "ww1", "--chatid", "wr1", "--context", "{"}, []string{"--context"}},
		"a fraction of age":   {[]string{"--corp", "ww1", "--chatid", "wr1", "--max-age", "1500ms"}, []string{"--max-age"}},
		"too great an age":    {[]string{"--corp", "ww1", "--chatid", "wr1", "--max-age", "9000h"}, []string{"max_age_seconds"}},
		"no time to wait":     {[]string{"--corp", "ww1", "--chatid", "wr1", "--wait", "--timeout", "0s"}, []string{"--timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.said(w.consentd(append([]string{"submit"}, tc.args...)...), exitUsage, tc.texts...)
		})
	}
	if written := kafkatest.ReadAll(t, w.broker.Addr(), w.topics.requests); len(written) > 0 {
		t.Errorf("%d requests were written", len(written))
	}
}

func TestSubmit_ReadsStdin(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "submit", "--config", w.config, "--file", "-")
	cmd.Env = environ()
	cmd.Stdin = strings.NewReader(strings.Repeat(`{"corp_id":"ww1","kind":"room","chatid":"wr1"}`+"\n", 2500))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "submitted 2,500 requests with 2,500 items") {
		t.Errorf("%v: %s", err, out)
	}
	if n := len(kafkatest.ReadAll(t, w.broker.Addr(), w.topics.requests)); n != 2500 {
		t.Errorf("%d requests are there, want 2500", n)
	}
}

func TestWatchStatusAndGroup_ShowWhatTheDaemonDid(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		var lines []string
		for i := range 30 {
			a := asked{corp: fmt.Sprintf("ww%d", 1+i%3), staff: "a", customer: fmt.Sprintf("wm%d", i)}
			a.set(w.sim, []string{"Agree", "Disagree"}[i%2], firstTime)
			lines = append(lines, a.request(fmt.Sprint("r-", i)))
		}
		lines = append(lines, asked{corp: "ww1", room: "wr1"}.request("room"), asked{corp: "unknown", room: "wr1"}.request("nobody"))
		asked{corp: "ww1", room: "wr1", members: []string{"wm1", "wm2"}}.set(w.sim, "Agree", firstTime)
		w.start()
		follow := command(t, "watch", "--config", w.config, "--since", "-1m", "--follow", "--type", "failed")
		w.said(w.consentd("submit", "--file", w.file(strings.Join(lines, "\n")), "--wait"), exitFailed, "1 of 32 items failed")
		follow.awaitLog("failed", "unknown/room/wr1", "unknown_corp")
		follow.signal(syscall.SIGINT)
		if code := follow.wait(); code != exitDone {
			t.Errorf("watch --follow ends with exit code %d when it is stopped, want 0", code)
		}

		w.watches()
		w.looksUp()
		committed := kafkatest.CommittedOffsets(t, b.Addr(), w.topics.requests, w.topics.requests)
		o := w.consentd("group", "--json")
		var r lag.Report
		if err := json.Unmarshal([]byte(o.out), &r); err != nil || o.code != exitDone {
			t.Fatalf("%v: %+v", err, o)
		}
		if r.State != "Stable" || r.Protocol != "consentd" || len(r.Members) != 1 || len(r.Partitions) != 6+3*5 || r.Lag != 0 {
			t.Errorf("got %+v, want one member, 21 partitions and no lag", r)
		}
		for _, p := range r.Partitions {
			if p.Member != r.Members[0].ID || p.Topic == w.topics.requests && (p.Committed == nil || *p.Committed != committed[p.Partition]) {
				t.Errorf("got %+v, want it committed at %d", p, committed[p.Partition])
			}
		}
		w.said(w.consentd("group"), exitDone, "Stable, 1 member, lag 0", "MEMBER", "COMMITTED")
	})
}

// watches compares what watch shows with what another client reads.
func (w *world) watches() {
	w.t.Helper()
	records := kafkatest.ReadAll(w.t, w.broker.Addr(), w.topics.results)
	want := func(match func(event) bool) (values []string) {
		for _, r := range records {
			if match(decodeEvent(w.t, r)) {
				values = append(values, string(r.Value))
			}
		}
		slices.Sort(values)
		return values
	}
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{nil, want(func(event) bool { return true })},
		{[]string{"--type", "checked"}, want(func(e event) bool { return e.Type == "consent.checked" })},
		{[]string{"--type", "changed,failed", "--corp", "ww1", "--corp", "unknown"}, want(func(e event) bool {
			return e.Type != "consent.checked" && (e.CorpID == "ww1" || e.CorpID == "unknown")
		})},
		{[]string{"--since", "-1h"}, want(func(event) bool { return true })},
		{[]string{"--since", "now"}, nil},
	} {
		o := w.consentd(append([]string{"watch", "--json"}, tc.args...)...)
		got := o.lines()
		slices.Sort(got)
		if o.code != exitDone || !slices.Equal(got, tc.want) {
			w.t.Errorf("watch %s: exit code %d and %d events, want %d:\n%s", tc.args, o.code, len(got), len(tc.want), o.out)
		}
	}
	w.said(w.consentd("watch", "--corp", "ww1"), exitDone, "CONVERSATION", "first_seen: nothing → Agree, version 1", "consented, 2 members (api)")
	for _, since := range []string{"2026-11-23T01:02:03", "6h", "yesterday", "--1h"} {
		w.said(w.consentd("watch", "--since", since), exitUsage, "RFC 3339 with a zone")
	}
	w.said(w.consentd("watch", "--type", "withdrawn"), exitUsage, "want checked, failed, changed")
}

// looksUp compares what status shows with the status topic as another client reads it.
func (w *world) looksUp() {
	w.t.Helper()
	last := make(map[string]string)
	for _, r := range kafkatest.ReadAll(w.t, w.broker.Addr(), w.topics.status) {
		last[string(r.Key)] = string(r.Value)
	}
	o := w.consentd("status", "--all")
	w.said(o, exitDone)
	for _, line := range o.lines() {
		var e struct {
			Key    string          `json:"key"`
			Status json.RawMessage `json:"status"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || last[e.Key] != string(e.Status) {
			w.t.Errorf("%s: %v, want the status %s", line, err, last[e.Key])
		}
		delete(last, e.Key)
	}
	if len(last) > 0 {
		w.t.Errorf("not exported: %v", last)
	}
	for _, tc := range []struct {
		args []string
		want int
	}{
		{[]string{"--corp", "ww1"}, 11},
		{[]string{"--corp", "ww1,ww2", "--kind", "single"}, 20},
		{[]string{"--agree-status", "Disagree"}, 15},
		{[]string{"--checked-before", "-1h"}, 0},
		{[]string{"--kind", "room", "--agree-status", "Agree", "--checked-before", "now"}, 1},
	} {
		if o := w.consentd(append([]string{"status", "--all"}, tc.args...)...); o.code != exitDone || len(o.lines()) != tc.want {
			w.t.Errorf("status --all %s: exit code %d, %d conversations, want %d", tc.args, o.code, len(o.lines()), tc.want)
		}
	}
	w.said(w.consentd("status", "--key", "ww2/single/a/wm1"), exitDone, `"Disagree" since 2023-11-14T22:13:20Z`, "consented     false")
	w.said(w.consentd("status", "--corp", "ww1", "--open-userid", "a", "--external-userid", "wm0", "--json"), exitDone, `"consented":true`)
	w.said(w.consentd("status", "--corp", "ww1", "--chatid", "wr1"), exitDone, `"wm2"  "Agree"`)
	w.said(w.consentd("status", "--key", "ww1/single/a/nobody"), exitFailed, "nothing is known of ww1/single/a/nobody")
	for _, args := range [][]string{
		nil,
		{"--key", "ww1/a/b"},
		{"--key", "ww1/room/wr1", "--corp", "ww1"},
		{"--corp", "ww1"},
		{"--corp", "ww1", "--open-userid", "a b", "--external-userid", "wm1"},
		{"--corp", "ww1", "--chatid", "wr1", "--kind", "room"},
		{"--all", "--key", "ww1/room/wr1"},
		{"--all", "--kind", "pair"},
	} {
		w.said(w.consentd(append([]string{"status"}, args...)...), exitUsage)
	}
}

func TestTopics_AreCreatedAsTheCheckWantsThem(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		w.said(w.consentd("topics", "check"), exitDone, "has one replica") // a risk alone
		configuration, err := os.ReadFile(w.config)
		if err != nil {
			t.Fatal(err)
		}
		w.write(w.config, strings.ReplaceAll(string(configuration), "topics: {requests: ", "topics: {changes: "+b.Topic(t, "changes")+", requests: new-"))
		w.write(w.config, strings.ReplaceAll(string(mustRead(t, w.config)), "retry_prefix: ", "retry_prefix: new-"))
		w.said(w.consentd("topics", "check"), exitFailed, "does not exist", "topics create", "key:  topics.requests, topics.changes, topics.retry_prefix")
		w.said(w.consentd("topics", "create", "--dry-run"), exitDone, "would be created")
		w.said(w.consentd("topics", "check"), exitFailed, "does not exist")
		w.said(w.consentd("topics", "create", "--partitions", "7"), exitDone, "created", "max.message.bytes=2097152", "is there")
		o := w.consentd("topics", "check", "--json")
		w.said(o, exitDone)
		var checked struct {
			Topics []struct {
				Topic      string
				Partitions int
			}
		}
		if err := json.Unmarshal([]byte(o.out), &checked); err != nil {
			t.Fatal(err)
		}
		for _, topic := range checked.Topics {
			want := map[string]int{"new-" + w.topics.requests: 7, b.Topic(t, "changes"): 7, "new-" + w.retryTopics()[0]: 5, "new-" + w.retryTopics()[1]: 5}
			if n, ok := want[topic.Topic]; ok && n != topic.Partitions {
				t.Errorf("%s has %d partitions, want %d", topic.Topic, topic.Partitions, n)
			}
		}
		w.said(w.consentd("topics", "create", "--partitions", "0"), exitUsage)
		w.said(w.consentd("topics", "creat"), exitUsage)
	})
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestDoctor_FindsWhatIsWrongAndExitsSo(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		w.said(w.consentd("doctor"), exitDone, "this user may publish in transactions", "asked for a pair that nobody has, and was answered", "has one replica")
		daemon := w.start()
		daemon.awaitLog("assigned")
		w.said(w.consentd("doctor", "--json", "--corp", "ww2"), exitDone, `"subject":"ww2"`, "Stable, members: 1")
		w.said(w.consentd("submit", "--corp", "ww1", "--chatid", "wr1", "--wait"), exitDone) // it was not disturbed
		w.sim.SetSecret("ww2", "another")
		w.said(w.consentd("doctor"), exitFailed, "WRONG", "wrong secret", "key: corps[1].token.secret_file", "something is wrong")
		w.write(w.config, string(mustRead(t, w.config))+"nonsense: 1\n")
		w.said(w.consentd("doctor"), exitFailed, "key: nonsense", "nothing else was looked at")
	})
}

func TestCommands_CompleteTheirFlagsValues(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	for _, tc := range []struct{ line, want string }{
		{"watch --type", "checked\nfailed\nchanged\n:4\n"},
		{"watch --since", "now\n-10m\n-1h\n-24h\n:4\n"},
		{"status --kind", "single\nroom\n:4\n"},
		{"submit --config " + w.config + " --corp", "ww1\nww2\nww3\n:4\n"},
		{"doctor --config " + w.config + " --corp", "ww1\nww2\nww3\n:4\n"},
		{"watch --config /no/such/file --corp", ":4\n"},
	} {
		var out, stderr bytes.Buffer
		if code := run(append(append([]string{"__complete"}, strings.Fields(tc.line)...), ""), &out, &stderr); code != exitDone || out.String() != tc.want {
			t.Errorf("%s: exit code %d, got %q, want %q", tc.line, code, out.String(), tc.want)
		}
	}
}

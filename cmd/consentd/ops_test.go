package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"consentd/internal/kafkatest"
	"consentd/wechat/wechattest"
)

// opsAddress is where the daemon serves those who watch it.
func (p *process) opsAddress() string {
	p.t.Helper()
	p.awaitLog("metrics and health are served")
	for line := range strings.Lines(string(p.log.Bytes())) {
		var l struct{ Address string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Address != "" {
			return "http://" + l.Address
		}
	}
	p.t.Fatal("no address in the log")
	return ""
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	return ask(t, http.MethodGet, url, "")
}

func ask(t *testing.T, method, url, text string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestOps_SaysWhetherTheDaemonIsReadyAndWhatItDid(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	items := w.load(20)
	d := w.start()
	address := d.opsAddress()
	w.await(items)
	if status, body := get(t, address+"/livez"); status != http.StatusOK {
		t.Errorf("livez: %d %s", status, body)
	}
	if status, body := get(t, address+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d %s", status, body)
	}
	_, metrics := get(t, address+"/metrics")
	for _, want := range []string{
		`consentd_items_total{outcome="checked",source="api"} 200`,
		`consentd_requests_total{fate="asked"} 20`,
		`consentd_homes 5`,
		`consentd_lag_records{partition="0",role="requests",topic="` + w.topics.requests + `"}`,
		`consentd_api_call_pairs_count`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	d.stop()
}

func TestOps_WhatIsDoneIsNotShownAsUnderWay(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	d := w.start()
	address := d.opsAddress()
	kafkatest.Produce(t, w.broker.Addr(), w.request("k", pairsRequest("r-1", "nobody", 1)))
	w.await(1)
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		_, metrics := get(t, address+"/metrics")
		done := true
		for _, want := range []string{"consentd_in_flight_items 0\n", "consentd_request_duration_seconds_count 1\n", `consentd_items_total{outcome="unknown_corp",source=""} 1`} {
			done = done && strings.Contains(metrics, want)
		}
		if done {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("one request was answered long ago, and nothing else was asked:\n%s", metrics)
		}
	}
	d.stop()
}

func TestOps_SaysWhyTheDaemonIsNotReady(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	config, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.write(w.config, strings.ReplaceAll(string(config), w.broker.Addr(), "127.0.0.1:1"))
	d := w.start()
	status, body := get(t, d.opsAddress()+"/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "not ready: starting") {
		t.Errorf("readyz: %d %s", status, body)
	}
	d.kill()
}

func TestOps_AnAddressInUseIsAClearError(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	config, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.write(w.config, strings.ReplaceAll(string(config), "127.0.0.1:0", w.broker.Addr()))
	d := w.start()
	if code := d.wait(); code != exitFailed || !strings.Contains(string(d.log.Bytes()), "ops.listen: listen tcp") {
		t.Errorf("exit code %d, want 1 and a line that names ops.listen:\n%s", code, d.log.Bytes())
	}
}

func TestOps_TheLogLevelChangesWhileTheDaemonRuns(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	d := w.start()
	url := d.opsAddress() + "/log/level"
	for _, c := range []struct {
		method, body string
		status       int
		answer       string
	}{
		{http.MethodGet, "", http.StatusOK, "info\n"},
		{http.MethodPut, "debug", http.StatusOK, "debug\n"},
		{http.MethodPut, "loud", http.StatusBadRequest, "unknown level \"loud\": want one of debug, info, warn, error\n"},
		{http.MethodGet, "", http.StatusOK, "debug\n"},
		{http.MethodPost, "info", http.StatusMethodNotAllowed, "Method Not Allowed\n"},
		{http.MethodPut, "error", http.StatusOK, "error\n"},
	} {
		if status, answer := ask(t, c.method, url, c.body); status != c.status || answer != c.answer {
			t.Errorf("%s %q: %d %q, want %d %q", c.method, c.body, status, answer, c.status, c.answer)
		}
	}
	d.awaitLog("the log level was changed", `"from":"info"`, `"to":"debug"`)
	d.awaitLog("the log level was changed", `"from":"debug"`, `"to":"error"`)
	d.stop()
	if strings.Contains(string(d.log.Bytes()), "stopped: drained") {
		t.Errorf("an info at level error:\n%s", d.log.Bytes())
	}
}

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

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
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
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

package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"consentd/config"
	"consentd/schemas"
	"consentd/wechat"
	"consentd/wechat/wechattest"
)

// suiteConfig is a provider's app with this secret, and two corps that authorised it.
func suiteConfig(url, ticketFile, secret string) config.Config {
	cfg := config.Config{
		WeChat: config.WeChat{BaseURL: url, ItemField: "item"},
		Suites: []config.Suite{{SuiteID: "s1", TicketFile: ticketFile, Secret: config.NewSecret(secret)}},
	}
	for _, id := range []string{"ww1", "ww2"} {
		token := config.Token{Source: "suite", SuiteID: "s1", Secret: config.NewSecret("code")}
		cfg.Corps = append(cfg.Corps, config.Corp{CorpID: id, Token: token})
	}
	return cfg
}

func TestCorps_ASuiteIsHealedByItsRightSecretAndKeptWhileItIsTheSame(t *testing.T) {
	t.Parallel()
	sim := wechattest.New(wechattest.Options{Suites: map[string]string{"s1": "right"}})
	url := sim.Start(t)
	ticket := filepath.Join(t.TempDir(), "ticket")
	if err := os.WriteFile(ticket, []byte("ticket\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := suiteConfig(url, ticket, "wrong")
	c := newCorps(cfg, nil)
	api, err := c.newAPI(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	ask := func(corpID string) error {
		_, err := api.CheckSingle(t.Context(), corpID, []wechat.Pair{{OpenUserID: "a", ExternalUserID: "wm1"}})
		return err
	}
	reload := func(secret string) {
		t.Helper()
		if err := api.SetCorps(c.of(suiteConfig(url, ticket, secret))); err != nil {
			t.Fatal(err)
		}
	}

	var e *wechat.Error
	if err := ask("ww1"); !errors.As(err, &e) || e.Class != schemas.CorpStopped || e.Errcode != 40080 {
		t.Fatalf("with the wrong secret: %v, want errcode 40080", err)
	}
	reload("right")
	if err := ask("ww1"); err != nil {
		t.Errorf("with the right secret: %v", err)
	}
	reload("right")
	if err := ask("ww2"); err != nil {
		t.Errorf("another corp: %v", err)
	}
	if got := sim.Stats().Suites["s1"].TokenFetches.Good; got != 1 {
		t.Errorf("%d tokens of the suite were fetched, want 1: it did not change", got)
	}
}

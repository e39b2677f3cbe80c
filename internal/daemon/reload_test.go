package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"consentd/config"
)

func TestWatchCorps_TakesACorpWhoseSecretComesAfterIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := write("one", "s1\n"), filepath.Join(dir, "two")
	first := "- {corp_id: ww1, token: {source: static, value_file: " + one + "}}\n"
	corps := write("corps.yaml", first)
	main := write("consentd.yaml", "wechat: {corps_file: "+corps+"}\n")
	load := func() (config.Config, error) {
		cfg, _, err := config.Load(main, nil)
		return cfg, err
	}
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	c := newCorps(cfg, nil)
	api, err := c.newAPI(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		ctx, stop := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { watchCorps(ctx, cfg, load, c, api, zerolog.New(&log)) })
		write("corps.yaml", first+"- {corp_id: ww2, token: {source: static, value_file: "+two+"}}\n")
		time.Sleep(time.Minute)
		if api.Knows("ww2") {
			t.Error("a corp without its secret is known")
		}
		write("two", "s2\n")
		time.Sleep(reloadAgain + 2*reloadEvery)
		if !api.Knows("ww2") {
			t.Error("the corp is not known although its secret has come")
		}
		stop()
		watching.Wait()
		if n := strings.Count(log.String(), "can't be read"); n != 1 {
			t.Errorf("it was said %d times that the corps can't be read, want once:\n%s", n, &log)
		}
	})
}

package daemon

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"consentd/config"
	"consentd/wechat"
)

// reloadEvery is how often it is looked whether the corps have changed. They are read when they have not changed since the last
// look: then nobody is in the middle of writing them.
const reloadEvery = 2 * time.Second

// reloadAgain is how long what could not be read is left alone, if it does not change: a file may be missing that it names.
const reloadAgain = 10 * time.Second

// Reload loads the configuration anew.
type Reload func() (config.Config, error)

// watchCorps has the client know other corps, and others of their secrets, when wechat.corps_file or a file with a secret
// changes. A configuration that can't be loaded leaves the corps as they are. It returns when ctx ends.
func watchCorps(ctx context.Context, cfg config.Config, reload Reload, c *corps, api *wechat.Client, log zerolog.Logger) {
	// Of the files as they were last looked at, and as they were last read: at first by the start, some time ago.
	var seen, read string
	var again time.Time // when to read the same again; zero: never
	ticker := time.NewTicker(reloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		now := fingerprint(cfg)
		settled := now == seen
		seen = now
		known := now == read
		if !settled || known && (again.IsZero() || time.Now().Before(again)) {
			continue
		}
		read, again = now, time.Time{}
		next, err := reload()
		if err == nil && sameCorps(cfg, next) {
			continue
		}
		if err == nil {
			err = api.SetCorps(c.of(next))
		}
		if err != nil {
			again = time.Now().Add(reloadAgain)
			if known {
				continue
			}
			log.Error().Str("error", strings.ReplaceAll(err.Error(), "\n", "; ")).
				Str("hint", "correct the file that it names: it is read again by itself").
				Msg("the corps have changed, but can't be read: they stay as they were")
			continue
		}
		log.Info().Int("corps", len(next.AllCorps())).Msg("the corps have changed: they are read anew")
		cfg = next
	}
}

// sameCorps tells whether two configurations have the same corps, suites and secrets.
func sameCorps(a, b config.Config) bool {
	return reflect.DeepEqual(a.AllCorps(), b.AllCorps()) && reflect.DeepEqual(a.Suites, b.Suites)
}

// fingerprint is another one when a file has changed that the corps are read from.
func fingerprint(cfg config.Config) string {
	var b strings.Builder
	look := func(file string) {
		if file == "" {
			return
		}
		info, err := os.Stat(file)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", file, err)
			return
		}
		fmt.Fprintf(&b, "%s: %d %d\n", file, info.Size(), info.ModTime().UnixNano())
	}
	look(cfg.WeChat.CorpsFile)
	for _, corp := range cfg.AllCorps() {
		look(corp.Token.SecretFile)
		look(corp.Token.PermanentCodeFile)
		look(corp.Token.ValueFile)
	}
	for _, suite := range cfg.Suites {
		look(suite.SecretFile)
	}
	return b.String()
}

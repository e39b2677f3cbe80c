package broker

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/config"
	"consentd/internal/logging"
)

// standing answers fetches of a partition that does not move, for a time, and returns the error that ends it.
func standing(highWatermark, lastStable int64, lasting time.Duration, log zerolog.Logger) error {
	tp := TopicPartition{"topic", 0}
	f := &fetch{options: FetchOptions{Log: log}, next: map[TopicPartition]*position{tp: {offset: 5}}}
	response := kmsg.NewFetchResponseTopicPartition()
	response.HighWatermark, response.LastStableOffset = highWatermark, lastStable
	for began := time.Now(); time.Since(began) < lasting; time.Sleep(fetchMaxWait) {
		if err := f.take(context.Background(), tp, &response, false, &batchReader{}); err != nil {
			return err
		}
	}
	return nil
}

func TestFetch_ABrokerThatAnswersAndDoesNotGetOnIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if err := standing(9, 9, 2*stuckTimeout, zerolog.Nop()); !errors.Is(err, errStuck) {
			t.Errorf("committed records that are not handed out: got %v", err)
		}
		if err := standing(9, 9, stuckTimeout/2, zerolog.Nop()); err != nil {
			t.Errorf("for a short time: got %v", err)
		}
		if err := standing(5, 5, time.Hour, zerolog.Nop()); err != nil {
			t.Errorf("nothing to read: got %v", err)
		}
	})
}

func TestFetch_AnUpstreamTransactionThatStaysOpenIsNamedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := logging.New(config.Log{}, &out)
		if err := standing(9, 5, time.Hour, log.Logger); err != nil {
			t.Errorf("got %v", err)
		}
		log.Close()
		// Once after the timeout; then after 10 s, a minute, five times ten minutes, and at the end.
		if n := strings.Count(out.String(), "has been open for long"); n != 9 {
			t.Errorf("%d lines, want 9: %s", n, &out)
		}
	})
}

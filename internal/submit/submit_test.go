package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/broker"
	"consentd/internal/kafkatest"
	"consentd/internal/watch"
	"consentd/schemas"
)

func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }

const room = `{"corp_id":"ww1","kind":"room","chatid":"wr1"}`

func TestCheck_ListsEveryProblemWithItsLineUpToABound(t *testing.T) {
	t.Parallel()
	var invalid *InvalidError
	_, err := Check(strings.NewReader(room+"\n\n{}\n"+`{"corp_id":"ww1","kind":"single","items":[{"open_userid":"a","external_userid":"b"},{"open_userid":""}]}`), Options{})
	if !errors.As(err, &invalid) || len(invalid.Problems) != 3 || !strings.HasPrefix(invalid.Problems[0], "line 3: ") || !strings.HasPrefix(invalid.Problems[2], "line 4: items[1]: ") {
		t.Errorf("got %v, want two problems of line 3 and one of line 4", err)
	}
	_, err = Check(strings.NewReader(strings.Repeat("{\n", 1000)), Options{})
	if !errors.As(err, &invalid) || len(invalid.Problems) != maxProblems+1 || invalid.Problems[maxProblems] != "and more" {
		t.Errorf("got %d problems, want %d and that there are more", len(invalid.Problems), maxProblems)
	}
	if _, err = Check(strings.NewReader("\n \n"), Options{}); !errors.Is(err, ErrNoRequests) {
		t.Errorf("nothing: got %v", err)
	}
}

func TestCheck_CountsTheKeyToTheRecordsSize(t *testing.T) {
	t.Parallel()
	line := strings.TrimSuffix(room, "}") + `,"x":"` + strings.Repeat("x", schemas.MaxRecordBytes-len(room)-8-len("ww1")) + `"}`
	if _, err := Check(strings.NewReader(line), Options{}); err != nil {
		t.Errorf("a request of %d bytes with its key: got %.200v", len(line)+3, err)
	}
	for name, o := range map[string]Options{"a longer key": {Key: []byte("longer")}, "an id in a header": {Run: "run"}} {
		if _, err := Check(strings.NewReader(line), o); !errors.As(err, new(*InvalidError)) {
			t.Errorf("%s: got %.200v", name, err)
		}
	}
}

// published is a plan of requests that was written to a topic, with what comes of it still to be written to another.
func published(ctx context.Context, t *testing.T, b *kafkatest.Broker, text string) (p *Plan, c *broker.Cluster, requests, results string, from map[broker.TopicPartition]int64) {
	t.Helper()
	requests, results = b.Topic(t, "requests"), b.Topic(t, "results")
	for _, topic := range []string{requests, results} {
		kafkatest.CreateTopic(t, b.Addr(), topic, 3, nil)
	}
	kafkatest.Produce(t, b.Addr(), answer(results, "before", "one", 0, schemas.TypeChecked))
	c = broker.Open(broker.Options{Brokers: []string{b.Addr()}, Topics: []string{requests, results}})
	t.Cleanup(c.Close)
	p, err := Check(strings.NewReader(text), Options{Run: "run"})
	if err != nil {
		t.Fatal(err)
	}
	if from, err = watch.Ends(ctx, c, results); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Publish(ctx, c, requests, zerolog.Nop()); err != nil || n != p.Requests {
		t.Fatalf("%d of %d requests written: %v", n, p.Requests, err)
	}
	return p, c, requests, results, from
}

func answer(topic, id, request string, index int, kind string) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Key: []byte(id), Headers: []kgo.RecordHeader{{Key: schemas.HeaderID, Value: []byte(id)}},
		Value: fmt.Appendf(nil, `{"type":%q,"request":{"id":%q,"index":%d,"count":2}}`, kind, request, index),
	}
}

func TestPlan_WritesTheLinesAsTheyAreAndWaitsForAnAnswerToEachItem(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		pairs := `{"request_id":"one", "corp_id":"ww2","kind":"single","items":[{"open_userid":"a","external_userid":"b"},{"open_userid":"a","external_userid":"c"}]}`
		p, c, requests, results, from := published(ctx, t, b, pairs+"\r\n"+room+"\n")
		if p.Requests != 2 || p.Items != 3 {
			t.Errorf("%d requests with %d items, want 2 with 3", p.Requests, p.Items)
		}
		var values []string
		for _, r := range kafkatest.ReadAll(t, b.Addr(), requests) {
			values = append(values, fmt.Sprintf("%s %s %s", r.Key, r.Value, r.Headers))
		}
		slices.Sort(values)
		if want := []string{"ww1 " + room + " [{consentd-request-id run-2}]", "ww2 " + pairs + " []"}; !slices.Equal(values, want) {
			t.Errorf("got %q, want %q", values, want)
		}
		kafkatest.Produce(t, b.Addr(),
			answer(results, "1", "one", 0, schemas.TypeChecked), answer(results, "1", "one", 0, schemas.TypeChecked), // repeated
			answer(results, "2", "another", 0, schemas.TypeFailed), answer(results, "3", "one", 0, schemas.TypeChanged),
			answer(results, "4", "one", 1, schemas.TypeFailed), answer(results, "5", "run-2", 0, schemas.TypeChecked))
		var got []string
		failed, err := p.Wait(ctx, c, from, zerolog.Nop(), func(e *watch.Event) error {
			got = append(got, e.ID)
			return nil
		})
		slices.Sort(got)
		if err != nil || failed != 1 || !slices.Equal(got, []string{"1", "4", "5"}) {
			t.Errorf("got %v, %d failed, %v, want 1, 4 and 5, one of them failed", got, failed, err)
		}
	})
}

func TestPlan_NamesTheRequestsWhoseAnswersDidNotCome(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	p, c, _, results, from := published(ctx, t, kafkatest.Embedded(t), strings.Repeat(room+"\n", 15))
	kafkatest.Produce(t, c.Brokers()[0], answer(results, "1", "run-3", 0, schemas.TypeChecked))
	short, cancelShort := context.WithTimeout(ctx, time.Second)
	defer cancelShort()
	_, err := p.Wait(short, c, from, zerolog.Nop(), func(*watch.Event) error { return nil })
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Answers != 14 || len(missing.IDs) != 14 || slices.Contains(missing.IDs, "run-3") || !strings.Contains(err.Error(), "and 4 more") {
		t.Errorf("got %v, want 14 answers missing", err)
	}
}

func TestSpool_KeepsWhatCanBeReadOnlyOnceAndRemovesItAfterwards(t *testing.T) {
	t.Parallel()
	file, remove, err := Spool(t.Context(), strings.NewReader(room))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if p, err := Check(file, Options{}); err != nil || p.Requests != 1 {
			t.Errorf("got %+v, %v", p, err)
		}
	}
	remove()
	if _, err := os.Stat(file.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestSpool_EndsWhenItIsToldToThoughNobodyEndsTheInput(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	input, typist := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.WriteString(typist, "{}\n") // returns when it was read
		cancel()
	}()
	if _, _, err := Spool(ctx, input); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("files are left behind: %v, %v", left, err)
	}
	_ = typist.Close() // the copying ends
}

package tracing

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"consentd/checker"
	"consentd/schemas"
)

// setup returns a generation that samples all, and where its spans go.
func setup(t *testing.T) (*Generation, *tracetest.InMemoryExporter) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	tracer, err := newTracer(t.Context(), sdk.WithSyncer(spans), "v1", "here")
	if err != nil {
		t.Fatal(err)
	}
	return tracer.Generation("group"), spans
}

// requests are taken up by g, each with a trace of its own.
func requests(g *Generation, n int) []*checker.Request {
	all := make([]*checker.Request, n)
	for i := range all {
		all[i] = &checker.Request{Headers: []schemas.Header{
			{Key: schemas.HeaderTraceParent, Value: fmt.Appendf(nil, "00-%032x-%016x-01", i+1, i+1)},
		}}
		g.Took(all[i], time.Now())
	}
	return all
}

// It is not parallel: AllocsPerRun counts those of all tests.
func TestGeneration_OfATracerThatIsOffCostsNothing(t *testing.T) {
	var tracer *Tracer
	g := tracer.Generation("group")
	r, now := &checker.Request{}, time.Now()
	allocated := testing.AllocsPerRun(1000, func() {
		g.Took(r, now)
		g.Called(nil)
		g.Finished(r, Answered, nil)
		g.Publishing(now)
		g.Published(now, nil)
		g.Close()
	})
	if allocated != 0 {
		t.Errorf("%v allocations", allocated)
	}
	tracer.Close(t.Context())
}

func TestGeneration_TiesAPublicationToItsRequestsWithABoundedNumberOfLinks(t *testing.T) {
	t.Parallel()
	g, exported := setup(t)
	const n = maxLinks + 50
	for _, r := range requests(g, n) {
		g.Finished(r, Answered, nil)
	}
	g.Publishing(time.Now())
	g.Published(time.Now(), nil)
	g.Close()
	spans := exported.GetSpans()
	if len(spans) != n+1 {
		t.Fatalf("%d spans, want one of each request and one of the publication", len(spans))
	}
	publication, linked := spans[0], 0
	if publication.Name != "publish" || len(publication.Links) != maxLinks || publication.DroppedLinks != 0 {
		t.Errorf("%s has %d links, want %d", publication.Name, len(publication.Links), maxLinks)
	}
	for _, s := range spans[1:] {
		if s.Status.Code != codes.Unset {
			t.Errorf("%v", s.Status)
		}
		if len(s.Links) == 1 && s.Links[0].SpanContext.SpanID() == publication.SpanContext.SpanID() {
			linked++
		}
	}
	if publication.Parent.TraceID() != spans[1].SpanContext.TraceID() || linked != n-1 {
		t.Errorf("%d requests have a link to their publication, want all but the one whose child it is", linked)
	}
}

func TestGeneration_EndsWhatIsGivenUp(t *testing.T) {
	t.Parallel()
	g, exported := setup(t)
	all := requests(g, 3)
	g.Finished(all[0], Answered, nil)
	g.Publishing(time.Now())
	g.Finished(all[1], Parked, &schemas.Failure{Class: schemas.Transient, Errcode: -1})
	g.Published(time.Now(), errors.New("no"))
	g.Close()
	spans := exported.GetSpans()
	if len(spans) != 4 {
		t.Fatalf("%d spans, want those of 3 requests and a publication", len(spans))
	}
	for _, s := range spans {
		if s.Status.Code != codes.Error {
			t.Errorf("%s ended with %v", s.Name, s.Status)
		}
	}
}

func TestGeneration_BeginsATraceWhereThereIsNone(t *testing.T) {
	t.Parallel()
	for _, parent := range []string{"", "00-xyz", "00-00000000000000000000000000000000-0000000000000000-01"} {
		g, exported := setup(t)
		r := &checker.Request{Headers: []schemas.Header{{Key: schemas.HeaderTraceParent, Value: []byte(parent)}}}
		g.Took(r, time.Now())
		g.Finished(r, Answered, nil)
		g.Close()
		if spans := exported.GetSpans(); len(spans) != 1 || spans[0].Parent.IsValid() || !spans[0].SpanContext.IsValid() {
			t.Errorf("%q: %v", parent, spans)
		}
	}
}

package tracing

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"consentd/checker"
	"consentd/schemas"
)

// Outcomes of a request, the worst that an item of it had.
const (
	Answered     = "answered"
	Parked       = "parked"
	DeadLettered = "dead_lettered"
	Forwarded    = "forwarded"
)

// Generation is what is traced of one generation's work; nil traces nothing. Its methods are for the goroutine that does the work.
type Generation struct {
	tracer trace.Tracer
	group  string
	names  map[string]string // of the spans of requests, by topic
	// open has the requests that are worked on and sampled.
	open map[*checker.Request]trace.Span
	// finished are those whose outcome is in the batch being filled, publishing those in the one that is sealed since sealedAt.
	finished, publishing []trace.Span
	sealedAt             time.Time
}

// Generation begins what is traced of the work of a group's member.
func (t *Tracer) Generation(group string) *Generation {
	if t == nil {
		return nil
	}
	return &Generation{tracer: t.tracer, group: group, names: make(map[string]string), open: make(map[*checker.Request]trace.Span)}
}

// Took notes that work on a request begins.
func (g *Generation) Took(r *checker.Request, at time.Time) {
	if g == nil {
		return
	}
	ctx := context.Background()
	if len(r.Headers) > 0 {
		ctx = propagation.TraceContext{}.Extract(ctx, carrier(r.Headers))
	}
	_, span := g.tracer.Start(ctx, g.name(r.Record.Topic), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(at))
	if !span.SpanContext().IsSampled() {
		return
	}
	// Attributes are dear, and most spans are not sampled.
	span.SetAttributes(
		semconv.MessagingSystemKafka,
		semconv.MessagingOperationTypeProcess,
		semconv.MessagingOperationName("process"),
		semconv.MessagingConsumerGroupName(g.group),
		semconv.MessagingDestinationName(r.Record.Topic),
		semconv.MessagingDestinationPartitionID(strconv.Itoa(int(r.Record.Partition))),
		semconv.MessagingKafkaOffset(int(r.Record.Offset)),
		attribute.String("consentd.corp_id", r.CorpID),
		attribute.String("consentd.request_id", r.ID),
		attribute.Int("consentd.items", len(r.Items)),
	)
	g.open[r] = span
}

// name is that of the span of a request that was read from a topic.
func (g *Generation) name(topic string) string {
	name, ok := g.names[topic]
	if !ok {
		name = "process " + topic
		g.names[topic] = name
	}
	return name
}

// Called notes a call that ended, before its reply is settled.
func (g *Generation) Called(reply *checker.Reply) {
	if g == nil || len(g.open) == 0 {
		return
	}
	name := "check_single_agree"
	if reply.Kind() == schemas.Room {
		name = "check_room_agree"
	}
	span := g.begin(name, trace.SpanKindClient, reply.Began(), g.askers(reply),
		attribute.String("consentd.corp_id", reply.CorpID()), attribute.Int("consentd.conversations", reply.Size()))
	if span == nil {
		return
	}
	if class := reply.Class(); class != "" {
		fail(span, class, reply.Errcode())
	}
	span.End(trace.WithTimestamp(reply.At))
}

// askers are the requests that a call was made for, each once.
func (g *Generation) askers(reply *checker.Reply) []trace.Span {
	var spans []trace.Span
	seen := make(map[*checker.Request]bool)
	for _, q := range reply.Questions() {
		for _, w := range q.Waiters {
			if span := g.open[w.Request]; span != nil && !seen[w.Request] {
				seen[w.Request] = true
				spans = append(spans, span)
			}
		}
	}
	return spans
}

// Finished notes that a request's outcome is in the batch being filled. failure is one of those that made it so; nil: none.
func (g *Generation) Finished(r *checker.Request, outcome string, failure *schemas.Failure) {
	if g == nil {
		return
	}
	span := g.open[r]
	if span == nil {
		return
	}
	delete(g.open, r)
	span.SetAttributes(attribute.String("consentd.outcome", outcome))
	if failure != nil {
		fail(span, failure.Class, failure.Errcode)
	}
	g.finished = append(g.finished, span)
}

// Publishing notes that what is finished is being published from now on.
func (g *Generation) Publishing(now time.Time) {
	if g == nil {
		return
	}
	g.publishing, g.finished, g.sealedAt = g.finished, g.publishing[:0], now
}

// Published notes how that went.
func (g *Generation) Published(now time.Time, err error) {
	if g == nil || len(g.publishing) == 0 {
		return
	}
	span := g.begin("publish", trace.SpanKindProducer, g.sealedAt, g.publishing,
		semconv.MessagingSystemKafka, semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("publish"),
		attribute.Int("consentd.requests", len(g.publishing)))
	if err != nil {
		span.SetStatus(codes.Error, "not published")
	}
	span.End(trace.WithTimestamp(now))
	if err != nil {
		return // the requests are given up
	}
	for _, request := range g.publishing {
		request.End(trace.WithTimestamp(now))
	}
	g.publishing = g.publishing[:0]
}

// Close ends the spans of the requests that were given up: whoever has their partitions next does them again.
func (g *Generation) Close() {
	if g == nil {
		return
	}
	given := append(g.finished, g.publishing...)
	for _, span := range g.open {
		given = append(given, span)
	}
	for _, span := range given {
		span.SetStatus(codes.Error, "given up: it is read again")
		span.End()
	}
}

// maxLinks is how many links a span has at the most; the SDK's own limit is the same.
const maxLinks = 128

// begin begins what is done for several requests at once: in the trace of the first one, with links to and from the others. nil: it is
// done for none.
func (g *Generation) begin(name string, kind trace.SpanKind, at time.Time, of []trace.Span, attributes ...attribute.KeyValue) trace.Span {
	if len(of) == 0 {
		return nil
	}
	var links []trace.Link
	for _, request := range of[1:min(len(of), maxLinks+1)] {
		links = append(links, trace.Link{SpanContext: request.SpanContext()})
	}
	_, span := g.tracer.Start(trace.ContextWithSpan(context.Background(), of[0]), name, trace.WithSpanKind(kind), trace.WithTimestamp(at),
		trace.WithLinks(links...), trace.WithAttributes(attributes...))
	for _, request := range of[1:] {
		request.AddLink(trace.Link{SpanContext: span.SpanContext()})
	}
	return span
}

// fail says why a span failed. The message is left out: ids of customers may be in it.
func fail(span trace.Span, class schemas.Class, errcode int) {
	span.SetAttributes(semconv.ErrorTypeKey.String(string(class)))
	if errcode != 0 {
		span.SetAttributes(attribute.Int("consentd.errcode", errcode))
	}
	span.SetStatus(codes.Error, string(class))
}

// carrier reads the trace's context from a record's headers.
type carrier []schemas.Header

func (c carrier) Get(key string) string {
	value, _ := schemas.LastHeader(c, key)
	return string(value)
}

func (c carrier) Set(string, string) {} // it is only read

func (c carrier) Keys() []string {
	var keys []string
	for _, h := range c {
		keys = append(keys, h.Key)
	}
	return keys
}

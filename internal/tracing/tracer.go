package tracing

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes spans and exports them in the background: what is not exported in time is dropped, nothing waits for it. nil: traces are
// off. Safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// New returns a tracer as the OTEL_ variables of the environment say, nil when they don't turn traces on; an error says which of them
// is wrong. What goes wrong later is logged to log, for the whole process. Who calls it calls Close.
func New(ctx context.Context, version, instance string, log zerolog.Logger) (*Tracer, error) {
	kind, err := wanted(os.Getenv)
	if err != nil {
		return nil, err
	}
	var exporter sdk.SpanExporter
	switch kind {
	case exportNone:
		return nil, nil
	case exportConsole:
		exporter, err = stdouttrace.New()
	default:
		exporter, err = otlptracehttp.New(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_…: %w", err)
	}
	// The SDK tells its troubles to the whole process.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn().Err(err).Str("hint", "nothing else is affected; see whether the collector of OTEL_EXPORTER_OTLP_ENDPOINT answers").
			Msg("traces can't be exported")
	}))
	t, err := newTracer(ctx, sdk.WithBatcher(exporter), version, instance)
	if err != nil {
		return nil, err
	}
	log.Info().Str("exporter", kind).Msg("traces are on")
	return t, nil
}

func newTracer(ctx context.Context, export sdk.TracerProviderOption, version, instance string) (*Tracer, error) {
	of, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("consentd"), semconv.ServiceVersion(version), semconv.ServiceInstanceID(instance)),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdk.NewTracerProvider(export, sdk.WithResource(of))
	return &Tracer{provider: provider, tracer: provider.Tracer("consentd")}, nil
}

// closeTimeout is how long what is not exported yet may hold up the end of the process.
const closeTimeout = 5 * time.Second

// Close exports what is left.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

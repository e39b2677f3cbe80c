// Package tracing tells OpenTelemetry what becomes of requests: a span each for a request, a call and a publication, tied together by
// parents and links. It looks on; what is done does not depend on it. What a span holds is told in docs/traces.md.
package tracing

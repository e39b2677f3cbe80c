package tracing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettings_TurnTracesOnOnlyWhereTheVariablesSaySo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  string // "A=b C=d"
		want string
	}{
		{"", exportNone},
		{"OTEL_SERVICE_NAME=x", exportNone},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", exportOTLP},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://collector/v1/traces", exportOTLP},
		{"OTEL_TRACES_EXPORTER=otlp", exportOTLP},
		{"OTEL_TRACES_EXPORTER=console", exportConsole},
		{"OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", exportNone},
		{"OTEL_SDK_DISABLED=true OTEL_TRACES_EXPORTER=otlp", exportNone},
		{"OTEL_SDK_DISABLED=false OTEL_TRACES_EXPORTER=otlp", exportOTLP},
		// What is for traces is not looked at where there are none.
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", exportNone},
	} {
		if got, err := wanted(environment(c.env)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.env, got, err, c.want)
		}
	}
}

func TestSettings_NameWhatIsWrongAndShowNoSecret(t *testing.T) {
	t.Parallel()
	readable := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(readable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, wrong, want, right string
	}{
		{"OTEL_TRACES_EXPORTER", "zipkin", "want otlp, console or none", "otlp"},
		{"OTEL_SDK_DISABLED", "yes", "want true or false", "false"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "user:s3cret@collector:4318", "want http://host:port", "http://collector:4318"},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "want http/protobuf", "http/protobuf"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "want gzip, none", "gzip"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "s3cret", "want name=value", "key=s3cret,other=%20"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "key=s3cret%zz", "want name=value", "key=s3cret"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "want an integer", "10000"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", readable + ".not", "want a file in PEM", readable},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "-1", "want an integer of at least 1", "4096"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "want always_on", "traceidratio"},
	} {
		const on = "OTEL_TRACES_EXPORTER=otlp "
		_, err := wanted(environment(on + c.name + "=" + c.wrong))
		if err == nil || !strings.HasPrefix(err.Error(), c.name+": ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s=%s: %v", c.name, c.wrong, err)
		}
		if _, err := wanted(environment(on + c.name + "=" + c.right)); err != nil {
			t.Errorf("%s=%s: %v", c.name, c.right, err)
		}
	}
	for arg, wrong := range map[string]bool{"0.1": false, "1": false, "1.1": true, "-1": true, "NaN": true, "all": true} {
		_, err := wanted(environment("OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=" + arg))
		if (err != nil) != wrong {
			t.Errorf("a ratio of %s: %v", arg, err)
		}
	}
}

// environment is that of variables, the last of a name counts.
func environment(variables string) func(string) string {
	values := make(map[string]string)
	for _, v := range strings.Fields(variables) {
		name, value, _ := strings.Cut(v, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

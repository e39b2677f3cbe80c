package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// The exporters, as OTEL_TRACES_EXPORTER names them.
const (
	exportOTLP    = "otlp"
	exportConsole = "console"
	exportNone    = "none"
)

// Check says what is wrong with the OTEL_ variables; nil: nothing is.
func Check(getenv func(string) string) error {
	_, err := wanted(getenv)
	return err
}

// wanted tells whether the environment turns traces on, and what to export them with. The error names the variable that is wrong, and
// never shows a header. What the OpenTelemetry SDK would ignore with a line of its own is an error here.
func wanted(getenv func(string) string) (exporter string, err error) {
	exporter = strings.ToLower(strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER")))
	switch exporter {
	case exportOTLP, exportConsole, exportNone:
	case "":
		exporter = exportNone
		if getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
			exporter = exportOTLP
		}
	default:
		err = fmt.Errorf("OTEL_TRACES_EXPORTER: %q: want otlp, console or none", exporter)
	}
	switch disabled := getenv("OTEL_SDK_DISABLED"); strings.ToLower(disabled) {
	case "", "false":
	case "true":
		exporter = exportNone
	default:
		err = errors.Join(err, fmt.Errorf("OTEL_SDK_DISABLED: %q: want true or false", disabled))
	}
	if exporter == exportNone {
		return exportNone, err
	}
	for _, v := range variables {
		if value := getenv(v.name); value != "" && v.check != nil {
			if problem := v.check(value); problem != "" {
				err = errors.Join(err, fmt.Errorf("%s: %s", v.name, problem))
			}
		}
	}
	if problem := checkRatio(getenv("OTEL_TRACES_SAMPLER"), getenv("OTEL_TRACES_SAMPLER_ARG")); problem != "" {
		err = errors.Join(err, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %s", problem))
	}
	return exporter, err
}

// variables are those whose values are checked, where traces are on.
var variables = []struct {
	name  string
	check func(value string) (problem string)
}{
	{"OTEL_EXPORTER_OTLP_ENDPOINT", checkEndpoint},
	{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", checkEndpoint},
	{"OTEL_EXPORTER_OTLP_PROTOCOL", oneOf("http/protobuf")},
	{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", oneOf("http/protobuf")},
	{"OTEL_EXPORTER_OTLP_COMPRESSION", oneOf("gzip", "none")},
	{"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", oneOf("gzip", "none")},
	{"OTEL_EXPORTER_OTLP_HEADERS", checkHeaders},
	{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", checkHeaders},
	{"OTEL_EXPORTER_OTLP_TIMEOUT", checkCount},
	{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", checkCount},
	{"OTEL_EXPORTER_OTLP_CERTIFICATE", checkFile},
	{"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", checkFile},
	{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", checkFile},
	{"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", checkFile},
	{"OTEL_EXPORTER_OTLP_CLIENT_KEY", checkFile},
	{"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", checkFile},
	{"OTEL_BSP_SCHEDULE_DELAY", checkCount},
	{"OTEL_BSP_EXPORT_TIMEOUT", checkCount},
	{"OTEL_BSP_MAX_QUEUE_SIZE", checkCount},
	{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", checkCount},
	{"OTEL_TRACES_SAMPLER", oneOf("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")},
}

func oneOf(words ...string) func(string) string {
	return func(value string) string {
		for _, w := range words {
			if strings.EqualFold(value, w) {
				return ""
			}
		}
		return fmt.Sprintf("%q: want %s", value, strings.Join(words, ", "))
	}
}

// checkEndpoint does not show the value: a user and a password may be in it.
func checkEndpoint(value string) string {
	if u, err := url.Parse(value); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "want http://host:port or https://host:port"
	}
	return ""
}

// checkHeaders does not show the value: keys of the collector are in it.
func checkHeaders(value string) string {
	for pair := range strings.SplitSeq(value, ",") {
		name, text, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(text); !ok || strings.TrimSpace(name) == "" || err != nil {
			return "want name=value,name=value with values percent-encoded"
		}
	}
	return ""
}

func checkCount(value string) string {
	if n, err := strconv.ParseInt(value, 10, 32); err != nil || n <= 0 {
		return fmt.Sprintf("%q: want an integer of at least 1", value)
	}
	return ""
}

func checkFile(value string) string {
	if _, err := os.ReadFile(value); err != nil {
		return fmt.Sprintf("%v: want a file in PEM", err)
	}
	return ""
}

func checkRatio(sampler, arg string) string {
	if arg == "" || !strings.HasSuffix(strings.ToLower(sampler), "traceidratio") {
		return ""
	}
	if ratio, err := strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		return fmt.Sprintf("%q: want a number from 0 to 1", arg)
	}
	return ""
}

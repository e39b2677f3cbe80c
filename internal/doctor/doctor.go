package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"consentd/config"
)

const (
	// stepTimeout bounds one step: a name to resolve, a connection, a request.
	stepTimeout = 5 * time.Second
	// clusterTimeout bounds what is asked of the cluster in one go.
	clusterTimeout = 15 * time.Second
)

// Options say what is looked at.
type Options struct {
	// Corps are the ones whose token and call are tried; empty: all.
	Corps []string
}

// Examine looks at everything that a configuration needs, and hands over each finding as it is made. Each step is tried once:
// what fails now and then shows now and then. It returns when it is through or ctx ends.
func Examine(ctx context.Context, cfg config.Config, o Options, report func(Finding)) {
	x := &examination{cfg: cfg, options: o, report: func(f Finding) {
		if ctx.Err() != nil && f.Level != OK { // what was cut off says nothing of what is wrong
			f = Finding{Level: Skipped, Check: f.Check, Subject: f.Subject, Found: "not looked at: interrupted"}
		}
		report(f)
	}}
	if usable := x.seeds(ctx); len(usable) > 0 {
		x.cluster(ctx, usable)
	} else {
		x.add(Skipped, checkTopics, "", "not looked at: no broker could be used", "", "")
	}
	x.api(ctx)
}

type examination struct {
	cfg     config.Config
	options Options
	report  func(Finding)
}

func (x *examination) add(level Level, check, subject, found, do, key string) {
	x.report(Finding{Level: level, Check: check, Subject: subject, Found: found, Do: do, Key: key})
}

func (x *examination) ok(check, subject, format string, args ...any) {
	x.add(OK, check, subject, fmt.Sprintf(format, args...), "", "")
}

// resolves tells whether a host has an address, and reports when it has none.
func (x *examination) resolves(ctx context.Context, host, key string) bool {
	if net.ParseIP(host) != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		x.add(Wrong, checkDNS, host, "has no address: "+dnsProblem(err), "correct the name, or the name server that this machine asks", key)
		return false
	}
	slices.Sort(addrs)
	x.ok(checkDNS, host, "%s", addrs[0])
	return true
}

func dnsProblem(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.Err
	}
	return err.Error()
}

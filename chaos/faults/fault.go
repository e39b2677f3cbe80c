// Package faults plans what goes wrong and when: the same seed gives the same plan. It does nothing itself.
package faults

import (
	"fmt"
	"time"
)

// Kind is a kind of fault, as it is counted.
type Kind string

// The kinds.
const (
	InstanceKill    Kind = "instance killed"
	InstanceStall   Kind = "instance stalled"
	InstanceRestart Kind = "instance restarted"
	BrokerKill      Kind = "broker killed"
	BrokerCut       Kind = "broker connections cut"
	BrokerSlow      Kind = "broker connections slow"
	APICut          Kind = "API connections cut"
	APISlow         Kind = "API connections slow"
	APIFault        Kind = "API fault"
)

// Kinds are all kinds.
func Kinds() []Kind {
	return []Kind{InstanceKill, InstanceStall, InstanceRestart, BrokerKill, BrokerCut, BrokerSlow, APICut, APISlow, APIFault}
}

// All stands for every instance or every broker.
const All = -1

// Fault is one thing that goes wrong, and is mended after Length.
type Fault struct {
	At     time.Duration // since the round began
	Length time.Duration
	Kind   Kind
	// Instance, from 0, is whose process or whose connections it is about; Broker, from 0, which node or the connections to
	// which. Either may be All where connections are meant.
	Instance, Broker int
	// Toxic is what slows connections down: a toxiproxy toxic in JSON.
	Toxic string
	// API is what the simulated WeCom is told: the path under /simulator/ and the body.
	Path, Body string
}

// Lane names what the fault is done to. Those of a lane follow each other, each mended before the next one; those of different
// lanes overlap. All brokers are one lane: there is never more than one of them down.
func (f Fault) Lane() string {
	switch f.Kind {
	case InstanceKill, InstanceStall, InstanceRestart:
		return name("instance", f.Instance, 0)
	case BrokerKill:
		return "brokers"
	case BrokerCut, BrokerSlow:
		return "connections to brokers"
	case APICut, APISlow:
		return "connections to the API"
	default:
		return "API"
	}
}

// String is a line for people.
func (f Fault) String() string {
	length := f.Length.Round(10 * time.Millisecond)
	switch f.Kind {
	case InstanceKill:
		return fmt.Sprintf("%s: kill -9 of instance %d, back after %s", f.Kind, f.Instance, length)
	case InstanceStall:
		return fmt.Sprintf("%s: SIGSTOP of instance %d for %s", f.Kind, f.Instance, length)
	case InstanceRestart:
		return fmt.Sprintf("%s: SIGTERM of instance %d", f.Kind, f.Instance)
	case BrokerKill:
		return fmt.Sprintf("%s: kill -9 of broker %d, restarted after %s", f.Kind, f.Broker+1, length)
	case BrokerCut, BrokerSlow:
		return fmt.Sprintf("%s: of %s to %s for %s %s", f.Kind, name("instance", f.Instance, 0), name("broker", f.Broker, 1), length, f.Toxic)
	case APICut, APISlow:
		return fmt.Sprintf("%s: of %s for %s %s", f.Kind, name("instance", f.Instance, 0), length, f.Toxic)
	default:
		return fmt.Sprintf("%s: %s %s for %s", f.Kind, f.Path, f.Body, length)
	}
}

func name(what string, n, from int) string {
	if n == All {
		return "all " + what + "s"
	}
	return fmt.Sprintf("%s %d", what, n+from)
}

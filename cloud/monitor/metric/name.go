package metric

import (
	"slices"

	"github.com/hawser-iot/hawser/cloud/monitor/meter"
)

// Name is a metric. Its number is stored: new ones go to the end.
type Name uint8

// The metrics. Counters are what happened in a point's time, gauges what was so at its end. Those of devices are of the hub, projects and
// products, RuleFailed, RuleRetries and RuleWaiting of the hub, projects and rules.
const (
	MessagesUp Name = iota
	BytesUp
	ErrorsUp
	MessagesDown
	BytesDown
	ErrorsDown
	RuleMatched
	RuleDelivered
	RuleDead
	RuleDropped
	RuleFailed
	RuleRetries
	RuleWaiting
	DevicesOnline
	DevicesRegistered
	Connections
	names
)

// kinds are the metrics that a meter counts.
var kinds = [meter.Kinds]Name{MessagesUp, BytesUp, ErrorsUp, MessagesDown, BytesDown, ErrorsDown, RuleMatched, RuleDelivered, RuleDead, RuleDropped}

// Info describes a metric.
type Info struct {
	Name  string // in snake case
	Gauge bool
	Unit  string // messages, bytes, records, devices, connections
	Help  string
}

var infos = [names]Info{
	MessagesUp:        {"messages_up", false, "messages", "Messages from devices that were taken."},
	BytesUp:           {"bytes_up", false, "bytes", "Bytes of their payloads."},
	ErrorsUp:          {"errors_up", false, "messages", "Messages from devices that were refused, or could not be stored."},
	MessagesDown:      {"messages_down", false, "messages", "Messages that were handed to devices' connections, answers and repeats included."},
	BytesDown:         {"bytes_down", false, "bytes", "Bytes of their payloads."},
	ErrorsDown:        {"errors_down", false, "messages", "Messages to devices that were not handed over and do not wait: away, not subscribed, too large."},
	RuleMatched:       {"rule_matched", false, "records", "Results of rules that matched, one for each action."},
	RuleDelivered:     {"rule_delivered", false, "records", "Results that a target has taken."},
	RuleDead:          {"rule_dead", false, "records", "Results that became dead letters."},
	RuleDropped:       {"rule_dropped", false, "records", "Results that were dropped: too old, or no room for dead letters."},
	RuleFailed:        {"rule_failed", false, "messages", "Messages that a rule could not be evaluated on."},
	RuleRetries:       {"rule_retries", false, "deliveries", "Deliveries that failed and are tried again."},
	RuleWaiting:       {"rule_waiting", true, "records", "Results that wait for their target."},
	DevicesOnline:     {"devices_online", true, "devices", "Devices that are online, sub-devices included."},
	DevicesRegistered: {"devices_registered", true, "devices", "Devices that are registered."},
	Connections:       {"connections", true, "connections", "MQTT connections; of the hub as a whole alone."},
}

// Info returns what a metric is.
func (n Name) Info() Info { return infos[n] }

func (n Name) String() string { return infos[n].Name }

// Names are all metrics.
func Names() []Name {
	all := make([]Name, names)
	for i := range all {
		all[i] = Name(i)
	}
	return all
}

// Parse finds a metric by its name.
func Parse(name string) (Name, bool) {
	i := slices.IndexFunc(infos[:], func(in Info) bool { return in.Name == name })
	return Name(max(i, 0)), i >= 0
}

// The scopes: what points are of.
const Hub = ""

// Project is the scope of all products, and rules, of a project.
func Project(id string) string { return "/" + id }

// Product is the scope of a product.
func Product(sn string) string { return sn }

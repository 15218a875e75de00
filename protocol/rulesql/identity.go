package rulesql

import (
	"math/rand/v2"
	"strings"
)

// identities are the functions that tell about the message itself.
func identities() []function {
	return []function{
		{name: "deviceSN", is: stock | binary, run: func(e *Env, _ *Call, _, _, _ val) val { return text(e.Device.SN) }},
		{name: "productSN", run: func(e *Env, _ *Call, _, _, _ val) val { return text(e.Device.Product) }},
		{name: "clientID", run: func(e *Env, _ *Call, _, _, _ val) val { return text(e.Device.ClientID()) }},
		{name: "messageID", run: func(e *Env, _ *Call, _, _, _ val) val { return text(e.MessageID.String()) }},
		{name: "topic", params: "i?", is: stock | binary, run: topicLevel},
		{name: "qos", run: func(e *Env, _ *Call, _, _, _ val) val { return integer(int64(e.QoS)) }},
		{name: "timestamp", run: func(e *Env, _ *Call, _, _, _ val) val { return integer(e.Time.UnixMilli()) }},
		{name: "replayed", run: func(e *Env, _ *Call, _, _, _ val) val { return boolean(e.Replayed) }},
		{name: "rand", is: stock | binary, run: func(*Env, *Call, val, val, val) val { return float(rand.Float64()) }},
	}
}

// topicLevel is topic(), the whole topic, and topic(n), its n-th level from 1; missing if there is none.
func topicLevel(e *Env, x *Call, n, _, _ val) val {
	if len(x.Args) == 0 {
		return text(e.Topic)
	}
	rest := strings.TrimPrefix(e.Topic, "/")
	for i := int64(1); ; i++ {
		level, after, more := strings.Cut(rest, "/")
		if i == n.num {
			return text(level)
		}
		if !more || i > n.num {
			return val{}
		}
		rest = after
	}
}

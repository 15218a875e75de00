package ingress

import (
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Journal keeps what devices do at this door, and why they were refused. It must not block.
type Journal interface{ Asked(Request) }

// What devices do here, beside what the path is told of.
const (
	ActionAuth    = "auth"
	ActionPublish = "publish" // only when it was refused before the path
)

// Request is something that a device has asked for.
type Request struct {
	At     time.Time
	Device ident.Device // who it says it is: of a refused login that may be anybody
	Action string
	Code   message.Code // what it was told
	Reason string
	Remote string
	Topic  string
}

func (in *Ingress) asked(r Request) {
	if in.Journal != nil {
		in.Journal.Asked(r)
	}
}

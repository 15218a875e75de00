package message

import (
	"encoding/json"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Value is a property's value with the time it was measured, Unix milliseconds; 0 means that it was not told.
type Value struct {
	Value json.RawMessage `json:"Value"`
	Time  int64           `json:"Time,omitempty"`
}

// PropertyPost reports properties (property/post). The answer is a Reply.
type PropertyPost struct {
	RequestID RequestID        `json:"RequestID"`
	Property  map[string]Value `json:"Property"`
}

// PropertySet sets properties (property/set).
type PropertySet struct {
	RequestID RequestID                  `json:"RequestID"`
	Property  map[string]json.RawMessage `json:"Property"`
}

// PropertySetReply answers PropertySet (property/set_reply). Message may be absent.
type PropertySetReply struct {
	RequestID RequestID `json:"RequestID"`
	RetCode   Code      `json:"RetCode"`
	Message   string    `json:"Message,omitempty"`
}

// Request is a request of nothing but its id: property/restore, template/get, password.
type Request struct {
	RequestID RequestID `json:"RequestID"`
}

// RestoreReply answers property/restore. Property is always present, {} when nothing was reported.
type RestoreReply struct {
	RetCode          Code             `json:"RetCode"`
	RequestID        RequestID        `json:"RequestID"`
	LatestUpdateTime int64            `json:"LatestUpdateTime"` // Unix milliseconds
	Property         map[string]Value `json:"Property"`
	Message          string           `json:"Message,omitempty"`
}

// DesiredGet asks for desired values (property/desired/get). An empty or absent Require asks for all.
type DesiredGet struct {
	RequestID RequestID `json:"RequestID"`
	Require   []string  `json:"Require,omitempty"`
}

// Desired is a desired value and its version, which counts up with each change.
type Desired struct {
	Value   json.RawMessage `json:"Value"`
	Version int64           `json:"Version"`
}

// DesiredGetReply answers DesiredGet. Desired is always present.
type DesiredGetReply struct {
	RetCode   Code               `json:"RetCode"`
	RequestID RequestID          `json:"RequestID"`
	Desired   map[string]Desired `json:"Desired"`
	Message   string             `json:"Message,omitempty"`
}

// DesiredDelete clears desired values that still have these versions (property/desired/delete). The answer is a Reply.
type DesiredDelete struct {
	RequestID RequestID                 `json:"RequestID"`
	Delete    map[string]DesiredVersion `json:"Delete"`
}

// DesiredVersion names the version to delete. Devices write the key in either case, and encoding/json takes both.
type DesiredVersion struct {
	Version int64 `json:"Version"`
}

// EventPost reports an event (event/post); Time is Unix milliseconds or 0. The answer is a Reply.
type EventPost struct {
	RequestID  RequestID       `json:"RequestID"`
	Identifier string          `json:"Identifier"`
	Output     json.RawMessage `json:"Output"`
	Time       int64           `json:"Time,omitempty"`
}

// Command calls a command (command). Input is always present, {} if need be. The RequestID has at most 15 digits: stock
// devices build the reply's topic in a buffer of 128 bytes.
type Command struct {
	RequestID  RequestID       `json:"RequestID"`
	Identifier string          `json:"Identifier"`
	Input      json.RawMessage `json:"Input"`
}

// CommandReply answers a Command (command_reply/RequestID).
type CommandReply struct {
	RequestID  RequestID       `json:"RequestID"`
	RetCode    Code            `json:"RetCode"`
	Identifier string          `json:"Identifier"`
	Output     json.RawMessage `json:"Output,omitempty"`
	Message    string          `json:"Message,omitempty"`
}

// TemplateReply answers template/get. Template is absent when RetCode is not 0.
type TemplateReply struct {
	RetCode   Code            `json:"RetCode"`
	RequestID RequestID       `json:"RequestID"`
	Template  json.RawMessage `json:"Template,omitempty"`
	Message   string          `json:"Message,omitempty"`
}

// Status tells that a device came or went (device/status).
type Status struct {
	ProductSN string `json:"ProductSN"`
	DeviceSN  string `json:"DeviceSN"`
	Status    string `json:"Status"` // StatusOnline or StatusOffline
}

// The values of Status.
const (
	StatusOnline  = "Online"
	StatusOffline = "Offline"
)

// NewStatus returns the status message of a device.
func NewStatus(d ident.Device, online bool) Status {
	s := Status{d.Product, d.SN, StatusOffline}
	if online {
		s.Status = StatusOnline
	}
	return s
}

// AppendJSON appends what codec.Marshal makes of s as JSON; a hub makes two of them for each login.
func (s Status) AppendJSON(dst []byte) []byte {
	dst = codec.AppendString(append(dst, `{"ProductSN":`...), s.ProductSN)
	dst = codec.AppendString(append(dst, `,"DeviceSN":`...), s.DeviceSN)
	dst = codec.AppendString(append(dst, `,"Status":`...), s.Status)
	return append(dst, '}')
}

// NTPRequest asks for the time (ntp/request). Times are Unix milliseconds.
type NTPRequest struct {
	DeviceSendTime int64 `json:"DeviceSendTime"`
}

// NTPResponse answers NTPRequest (ntp/response): the device's clock is off by
// (ServerRecvTime + ServerSendTime - DeviceSendTime - time of arrival) / 2.
type NTPResponse struct {
	DeviceSendTime int64 `json:"DeviceSendTime"`
	ServerRecvTime int64 `json:"ServerRecvTime"`
	ServerSendTime int64 `json:"ServerSendTime"`
}

var empty = json.RawMessage("{}")

// MarshalJSON writes Property as {} when there is none.
func (r RestoreReply) MarshalJSON() ([]byte, error) {
	type plain RestoreReply
	if r.Property == nil {
		r.Property = map[string]Value{}
	}
	return codec.Marshal(codec.JSON, plain(r))
}

// MarshalJSON writes Desired as {} when there is none.
func (r DesiredGetReply) MarshalJSON() ([]byte, error) {
	type plain DesiredGetReply
	if r.Desired == nil {
		r.Desired = map[string]Desired{}
	}
	return codec.Marshal(codec.JSON, plain(r))
}

// MarshalJSON writes Output as {} when there is none.
func (e EventPost) MarshalJSON() ([]byte, error) {
	type plain EventPost
	if e.Output == nil {
		e.Output = empty
	}
	return codec.Marshal(codec.JSON, plain(e))
}

// MarshalJSON writes Input as {} when there is none.
func (c Command) MarshalJSON() ([]byte, error) {
	type plain Command
	if c.Input == nil {
		c.Input = empty
	}
	return codec.Marshal(codec.JSON, plain(c))
}

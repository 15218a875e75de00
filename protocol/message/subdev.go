package message

import (
	"strconv"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// PasswordReply answers dynamic registration (password_reply). RetCode is a string on the wire here, and the password is
// absent when it is not "0".
type PasswordReply struct {
	RetCode   string    `json:"RetCode"`
	RequestID RequestID `json:"RequestID"`
	Password  string    `json:"Password,omitempty"` // the DeviceSecret, in the clear: never log this struct
	Message   string    `json:"Message,omitempty"`
}

// NewPasswordReply returns the reply that hands out a secret.
func NewPasswordReply(id RequestID, password string) PasswordReply {
	return PasswordReply{RetCode: "0", RequestID: id, Password: password}
}

// RefusePassword returns the reply that refuses registration.
func RefusePassword(id RequestID, c Code) PasswordReply {
	return PasswordReply{RetCode: strconv.Itoa(int(c)), RequestID: id, Message: c.Text()}
}

// Subdev names a sub-device in requests and notices of a gateway. Which of the secrets is there depends on the topic.
type Subdev struct {
	ProductSN     string `json:"ProductSN"`
	DeviceSN      string `json:"DeviceSN"`
	ProductSecret string `json:"ProductSecret,omitempty"` // register
	DeviceSecret  string `json:"DeviceSecret,omitempty"`  // answer of register, topo/notify
	Sign          string `json:"Sign,omitempty"`          // topo/add and login of products that require proof: credential.SignSubdev
}

// NewSubdev returns d without secrets.
func NewSubdev(d ident.Device) Subdev { return Subdev{ProductSN: d.Product, DeviceSN: d.SN} }

// Device returns the identity, unchecked.
func (s Subdev) Device() ident.Device { return ident.Device{Product: s.ProductSN, SN: s.DeviceSN} }

// SubdevRequest is what a gateway asks on the topics under subdev/, and what the cloud tells it there.
type SubdevRequest struct {
	RequestID RequestID `json:"RequestID"`
	Params    []Subdev  `json:"Params"`
}

// SubdevReply answers a SubdevRequest. Data is there for register and topo/get only, and then always: NoSubdevs when
// there are none.
type SubdevReply struct {
	RequestID RequestID `json:"RequestID"`
	RetCode   Code      `json:"RetCode"`
	Data      []Subdev  `json:"Data,omitzero"`
	Message   string    `json:"Message,omitempty"`
}

// NoSubdevs returns the Data of a reply that lists nothing; nil would leave Data out.
func NoSubdevs() []Subdev { return []Subdev{} }

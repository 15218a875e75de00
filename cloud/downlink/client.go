package downlink

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Client is the text in the session row's column client: what other nodes, and this one while the device is away, have to
// know of the connection. It is a list of key=value, separated by semicolons; unknown keys are ignored.
type Client struct {
	Via    int64 // the device id of the gateway that carries a sub-device; 0: its own connection
	Buffer int   // largest packet in bytes that the device takes; 0: not announced
	// Verifies tells that the device verifies the manifests of firmware.
	Verifies bool
}

// String is the inverse of ParseClient.
func (c Client) String() string {
	var b []string
	if c.Via != 0 {
		b = append(b, "via="+strconv.FormatInt(c.Via, 10))
	}
	if c.Buffer != 0 {
		b = append(b, "buf="+strconv.Itoa(c.Buffer))
	}
	if c.Verifies {
		b = append(b, "suit=1")
	}
	return strings.Join(b, ";")
}

// ParseClient reads the column; what it cannot read is left zero.
func ParseClient(s string) Client {
	var c Client
	for part := range strings.SplitSeq(s, ";") {
		k, v, _ := strings.Cut(part, "=")
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			continue
		}
		switch k {
		case "via":
			c.Via = n
		case "buf":
			c.Buffer = int(n)
		case "suit":
			c.Verifies = n == 1
		}
	}
	return c
}

// Filter is a subscription as the session row keeps it.
type Filter struct {
	Filter  string
	QoS     byte
	Options packet.Options // of MQTT 5.0, beside the QoS
	ID      uint32         // the client's identifier, 0 = none
}

// The column subs: one byte version (2), then for each filter one byte QoS with the options, uvarint identifier, uvarint length, the
// filter's bytes. Version 1 had no options and no identifier.
const (
	filtersVersion  = 2
	filtersVersion1 = 1
)

var errFilters = errors.New("downlink: stored subscriptions are damaged")

// EncodeFilters makes the column subs; no filters are stored as an empty list, not as NULL.
func EncodeFilters(list []Filter) []byte {
	b := []byte{filtersVersion}
	for _, f := range list {
		b = append(b, f.QoS|byte(f.Options))
		b = binary.AppendUvarint(b, uint64(f.ID))
		b = binary.AppendUvarint(b, uint64(len(f.Filter)))
		b = append(b, f.Filter...)
	}
	return b
}

// DecodeFilters is the inverse of EncodeFilters; NULL is an empty list.
func DecodeFilters(b []byte) ([]Filter, error) {
	if len(b) == 0 {
		return nil, nil
	}
	version := b[0]
	if version != filtersVersion && version != filtersVersion1 {
		return nil, errFilters
	}
	var list []Filter
	for b = b[1:]; len(b) > 0; {
		f, rest, err := decodeFilter(b, version)
		if err != nil {
			return nil, err
		}
		list, b = append(list, f), rest
	}
	return list, nil
}

// decodeFilter takes one filter off b, which is not empty.
func decodeFilter(b []byte, version byte) (f Filter, rest []byte, err error) {
	options := packet.Options(b[0])
	f.QoS, f.Options = options.QoS(), options&^3
	b = b[1:]
	if version == filtersVersion {
		id, size := binary.Uvarint(b)
		if size <= 0 || id > packet.MaxRemaining {
			return f, nil, errFilters
		}
		f.ID, b = uint32(id), b[size:]
	}
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) || f.QoS > 2 {
		return f, nil, errFilters
	}
	b = b[size:]
	f.Filter = string(b[:n])
	return f, b[n:], nil
}

package downlink

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// Client is the text in the session row's column client: what other nodes, and this one while the device is away, have to
// know of the connection. It is a list of key=value, separated by semicolons; unknown keys are ignored.
type Client struct {
	Via    int64 // the device id of the gateway that carries a sub-device; 0: its own connection
	Buffer int   // largest packet in bytes that the device takes; 0: not announced
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
		}
	}
	return c
}

// Filter is a subscription as the session row keeps it.
type Filter struct {
	Filter string
	QoS    byte
}

// The column subs: one byte version (1), then for each filter one byte QoS, uvarint length, the filter's bytes.
const filtersVersion = 1

var errFilters = errors.New("downlink: stored subscriptions are damaged")

// EncodeFilters makes the column subs; no filters are stored as an empty list, not as NULL.
func EncodeFilters(list []Filter) []byte {
	b := []byte{filtersVersion}
	for _, f := range list {
		b = append(b, f.QoS)
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
	if b[0] != filtersVersion {
		return nil, errFilters
	}
	var list []Filter
	for b = b[1:]; len(b) > 0; {
		qos := b[0]
		n, size := binary.Uvarint(b[1:])
		if size <= 0 || n > uint64(len(b)-1-size) || qos > 2 {
			return nil, errFilters
		}
		b = b[1+size:]
		list = append(list, Filter{Filter: string(b[:n]), QoS: qos})
		b = b[n:]
	}
	return list, nil
}

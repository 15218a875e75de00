// Package packettest holds the golden packets of MQTT 3.1, 3.1.1 and 5.0: bytes, who sends them, and for malformed ones the reason,
// which tells the reason code of 5.0.
// The codec's tests, the engine's tests and other implementations of the protocol use the one table.
package packettest

import (
	"encoding/hex"
	"strings"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Direction says who sends a packet.
type Direction uint8

// The directions.
const (
	ToServer Direction = iota
	ToClient
	Both
)

// Case is one golden packet.
type Case struct {
	Name      string
	Version   byte // packet.V5 for what 5.0 writes or judges differently, else packet.V311
	Direction Direction
	Bytes     []byte
	Malformed bool
	Reason    packet.Reason // of a malformed one
}

// Golden returns the table; the caller may keep and change it.
func Golden() []Case {
	var all []Case
	for _, t := range []struct {
		version byte
		rows    []row
	}{{packet.V311, good}, {packet.V311, malformed}, {packet.V5, good5}, {packet.V5, malformed5}} {
		for _, r := range t.rows {
			all = append(all, Case{Name: r.name, Version: t.version, Direction: r.dir, Bytes: unhex(r.hex), Malformed: r.bad, Reason: r.reason})
		}
	}
	return all
}

// Bytes returns the packet of a name of 5.0 or, when 5.0 has none, of 3.1.1; it panics when there is none, as a test's table is then wrong.
func Bytes(name string) []byte {
	all := Golden()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Name == name {
			return all[i].Bytes
		}
	}
	panic("packettest: no golden packet " + name)
}

// unhex reads hexadecimal bytes in which blanks, and text in quotes, may stand.
func unhex(s string) []byte {
	var out []byte
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			panic("packettest: golden table: " + err.Error())
		}
		out = append(out, b...)
	}
	return out
}

// row is a line of the table.
type row struct {
	name   string
	dir    Direction
	hex    string
	bad    bool
	reason packet.Reason
}

var good = []row{
	{name: "connect least", dir: ToServer, hex: "10 0e 0004 'MQTT' 04 02 003c 0002 'c1'"},
	{name: "connect without client id", dir: ToServer, hex: "10 0c 0004 'MQTT' 04 02 0000 0000"},
	{name: "connect persistent", dir: ToServer, hex: "10 0e 0004 'MQTT' 04 00 0000 0002 'c1'"},
	{name: "connect 3.1", dir: ToServer, hex: "10 10 0006 'MQIsdp' 03 02 001e 0002 'c1'"},
	{name: "connect user and password", dir: ToServer, hex: "10 16 0004 'MQTT' 04 c2 003c 0002 'c1' 0001 'u' 0003 'p' 00ff"},
	{name: "connect user only", dir: ToServer, hex: "10 11 0004 'MQTT' 04 82 003c 0002 'c1' 0001 'u'"},
	{name: "connect will", dir: ToServer, hex: "10 14 0004 'MQTT' 04 06 003c 0002 'c1' 0001 'w' 0001 'x'"},
	{name: "connect will qos 2 retain empty payload", dir: ToServer, hex: "10 13 0004 'MQTT' 04 36 003c 0002 'c1' 0001 'w' 0000"},
	{name: "connect everything", dir: ToServer, hex: "10 1b 0004 'MQTT' 04 ee ffff 0002 'c1' 0001 'w' 0002 'xy' 0001 'u' 0001 'p'"},
	{name: "connack", dir: ToClient, hex: "20 02 00 00"},
	{name: "connack session present", dir: ToClient, hex: "20 02 01 00"},
	{name: "connack bad version", dir: ToClient, hex: "20 02 00 01"},
	{name: "connack not authorized", dir: ToClient, hex: "20 02 00 05"},
	{name: "publish qos 0", dir: Both, hex: "30 06 0003 'a/b' 'x'"},
	{name: "publish empty payload", dir: Both, hex: "30 05 0003 'a/b'"},
	{name: "publish retain", dir: Both, hex: "31 06 0003 'a/b' 'x'"},
	{name: "publish qos 1", dir: Both, hex: "32 08 0003 'a/b' 000a 'x'"},
	{name: "publish qos 1 dup", dir: Both, hex: "3a 08 0003 'a/b' ffff 'x'"},
	{name: "publish qos 2", dir: Both, hex: "34 07 0003 'a/b' 0001"},
	{name: "publish dup retain qos 2", dir: Both, hex: "3d 07 0003 'a/b' 0001"},
	{name: "publish utf-8", dir: Both, hex: "30 0a 0007 'é/' f09f9880 '1'"},
	{name: "publish blank and slash", dir: Both, hex: "30 05 0002 '/ ' '1'"},
	{name: "puback", dir: Both, hex: "40 02 0001"},
	{name: "pubrec", dir: Both, hex: "50 02 ffff"},
	{name: "pubrel", dir: Both, hex: "62 02 0001"},
	{name: "pubcomp", dir: Both, hex: "70 02 0001"},
	{name: "subscribe", dir: ToServer, hex: "82 08 0001 0003 'a/b' 01"},
	{name: "subscribe three", dir: ToServer, hex: "82 11 0001 0001 '#' 00 0003 '+/+' 01 0002 '/#' 02"},
	{name: "subscribe share-like and system", dir: ToServer, hex: "82 0d 0007 0008 '$sys/a/+' 00"},
	{name: "suback", dir: ToClient, hex: "90 03 0001 01"},
	{name: "suback failure and others", dir: ToClient, hex: "90 06 0001 80 00 01 02"},
	{name: "unsubscribe", dir: ToServer, hex: "a2 07 0002 0003 'a/b'"},
	{name: "unsubscribe two", dir: ToServer, hex: "a2 09 0002 0001 '#' 0002 '+/'"},
	{name: "unsuback", dir: ToClient, hex: "b0 02 0002"},
	{name: "pingreq", dir: ToServer, hex: "c0 00"},
	{name: "pingresp", dir: ToClient, hex: "d0 00"},
	{name: "disconnect", dir: ToServer, hex: "e0 00"},
}

var malformed = []row{
	{name: "type 0", dir: Both, hex: "00 00", bad: true, reason: packet.BadType},
	{name: "type 15", dir: Both, hex: "f0 00", bad: true, reason: packet.BadType},
	{name: "http", dir: ToServer, hex: "'GET / HTTP/1.1'", bad: true, reason: packet.BadFlags},
	{name: "tls client hello", dir: ToServer, hex: "16 03 01 02 00", bad: true, reason: packet.BadFlags},
	{name: "connect reserved header flag", dir: ToServer, hex: "11 0e 0004 'MQTT' 04 02 003c 0002 'c1'", bad: true, reason: packet.BadFlags},
	{name: "pubrel flags 0", dir: Both, hex: "60 02 0001", bad: true, reason: packet.BadFlags},
	{name: "puback flags", dir: Both, hex: "42 02 0001", bad: true, reason: packet.BadFlags},
	{name: "subscribe flags 0", dir: ToServer, hex: "80 08 0001 0003 'a/b' 01", bad: true, reason: packet.BadFlags},
	{name: "unsubscribe flags 0", dir: ToServer, hex: "a0 07 0002 0003 'a/b'", bad: true, reason: packet.BadFlags},
	{name: "pingreq flags", dir: ToServer, hex: "c1 00", bad: true, reason: packet.BadFlags},
	{name: "disconnect flags", dir: ToServer, hex: "e1 00", bad: true, reason: packet.BadFlags},
	{name: "remaining length of five bytes", dir: Both, hex: "30 80 80 80 80 01", bad: true, reason: packet.BadLength},
	{name: "remaining length ff", dir: Both, hex: "30 ff ff ff ff", bad: true, reason: packet.BadLength},
	{name: "publish qos 3", dir: Both, hex: "36 07 0003 'a/b' 0001", bad: true, reason: packet.BadQoS},
	{name: "publish dup at qos 0", dir: Both, hex: "38 05 0003 'a/b'", bad: true, reason: packet.BadQoS},
	{name: "publish empty topic", dir: Both, hex: "30 02 0000", bad: true, reason: packet.BadTopic},
	{name: "publish wildcard +", dir: Both, hex: "30 05 0003 'a/+'", bad: true, reason: packet.BadTopic},
	{name: "publish wildcard #", dir: Both, hex: "30 03 0001 '#'", bad: true, reason: packet.BadTopic},
	{name: "publish nul", dir: Both, hex: "30 05 0003 'a' 00 'b'", bad: true, reason: packet.BadTopic},
	{name: "publish surrogate", dir: Both, hex: "30 05 0003 eda080", bad: true, reason: packet.BadTopic},
	{name: "publish overlong utf-8", dir: Both, hex: "30 04 0002 c0af", bad: true, reason: packet.BadTopic},
	{name: "publish cut utf-8", dir: Both, hex: "30 04 0002 'a' c3", bad: true, reason: packet.BadTopic},
	{name: "publish above u+10ffff", dir: Both, hex: "30 06 0004 f4908080", bad: true, reason: packet.BadTopic},
	{name: "publish topic longer than packet", dir: Both, hex: "30 05 0004 'a/b'", bad: true, reason: packet.BadSize},
	{name: "publish without topic length", dir: Both, hex: "30 01 00", bad: true, reason: packet.BadSize},
	{name: "publish nothing", dir: Both, hex: "30 00", bad: true, reason: packet.BadSize},
	{name: "publish qos 1 without id", dir: Both, hex: "32 05 0003 'a/b'", bad: true, reason: packet.BadSize},
	{name: "publish id 0", dir: Both, hex: "32 07 0003 'a/b' 0000", bad: true, reason: packet.ZeroID},
	{name: "puback id 0", dir: Both, hex: "40 02 0000", bad: true, reason: packet.ZeroID},
	{name: "puback short", dir: Both, hex: "40 01 00", bad: true, reason: packet.BadSize},
	{name: "puback long", dir: Both, hex: "40 03 0001 00", bad: true, reason: packet.BadSize},
	{name: "pubrel id 0", dir: Both, hex: "62 02 0000", bad: true, reason: packet.ZeroID},
	{name: "subscribe id 0", dir: ToServer, hex: "82 08 0000 0003 'a/b' 01", bad: true, reason: packet.ZeroID},
	{name: "subscribe nothing", dir: ToServer, hex: "82 00", bad: true, reason: packet.BadSize},
	{name: "subscribe no filter", dir: ToServer, hex: "82 02 0001", bad: true, reason: packet.NoFilters},
	{name: "subscribe no qos", dir: ToServer, hex: "82 07 0001 0003 'a/b'", bad: true, reason: packet.BadSize},
	{name: "subscribe qos 3", dir: ToServer, hex: "82 08 0001 0003 'a/b' 03", bad: true, reason: packet.BadQoS},
	{name: "subscribe reserved qos bits", dir: ToServer, hex: "82 08 0001 0003 'a/b' 81", bad: true, reason: packet.BadQoS},
	{name: "subscribe empty filter", dir: ToServer, hex: "82 05 0001 0000 01", bad: true, reason: packet.BadFilter},
	{name: "subscribe # in the middle", dir: ToServer, hex: "82 08 0001 0003 '#/b' 01", bad: true, reason: packet.BadFilter},
	{name: "subscribe a#", dir: ToServer, hex: "82 07 0001 0002 'a#' 01", bad: true, reason: packet.BadFilter},
	{name: "subscribe +a", dir: ToServer, hex: "82 07 0001 0002 '+a' 01", bad: true, reason: packet.BadFilter},
	{name: "subscribe a+/b", dir: ToServer, hex: "82 09 0001 0004 'a+/b' 01", bad: true, reason: packet.BadFilter},
	{name: "subscribe nul", dir: ToServer, hex: "82 06 0001 0001 00 01", bad: true, reason: packet.BadFilter},
	{name: "subscribe second filter cut", dir: ToServer, hex: "82 0b 0001 0003 'a/b' 01 0009 'c'", bad: true, reason: packet.BadSize},
	{name: "unsubscribe no filter", dir: ToServer, hex: "a2 02 0002", bad: true, reason: packet.NoFilters},
	{name: "unsubscribe bad filter", dir: ToServer, hex: "a2 06 0002 0002 'a#'", bad: true, reason: packet.BadFilter},
	{name: "unsubscribe id 0", dir: ToServer, hex: "a2 07 0000 0003 'a/b'", bad: true, reason: packet.ZeroID},
	{name: "pingreq with body", dir: ToServer, hex: "c0 01 00", bad: true, reason: packet.BadSize},
	{name: "disconnect with body", dir: ToServer, hex: "e0 01 00", bad: true, reason: packet.BadSize},
	{name: "connect nothing", dir: ToServer, hex: "10 00", bad: true, reason: packet.BadSize},
	{name: "connect name", dir: ToServer, hex: "10 0e 0004 'MQTX' 04 02 003c 0002 'c1'", bad: true, reason: packet.BadProtocolName},
	{name: "connect name in lower case", dir: ToServer, hex: "10 0e 0004 'mqtt' 04 02 003c 0002 'c1'", bad: true, reason: packet.BadProtocolName},
	{name: "connect level 6", dir: ToServer, hex: "10 0e 0004 'MQTT' 06 02 003c 0002 'c1'", bad: true, reason: packet.BadProtocolLevel},
	{name: "connect level 3 as MQTT", dir: ToServer, hex: "10 0e 0004 'MQTT' 03 02 003c 0002 'c1'", bad: true, reason: packet.BadProtocolLevel},
	{name: "connect 3.1 name level 4", dir: ToServer, hex: "10 10 0006 'MQIsdp' 04 02 001e 0002 'c1'", bad: true, reason: packet.BadProtocolLevel},
	{name: "connect reserved flag", dir: ToServer, hex: "10 0e 0004 'MQTT' 04 03 003c 0002 'c1'", bad: true, reason: packet.BadConnectFlags},
	{name: "connect will qos 3", dir: ToServer, hex: "10 14 0004 'MQTT' 04 1e 003c 0002 'c1' 0001 'w' 0001 'x'", bad: true, reason: packet.BadConnectFlags},
	{name: "connect will qos without will", dir: ToServer, hex: "10 0e 0004 'MQTT' 04 0a 003c 0002 'c1'", bad: true, reason: packet.BadConnectFlags},
	{name: "connect will retain without will", dir: ToServer, hex: "10 0e 0004 'MQTT' 04 22 003c 0002 'c1'", bad: true, reason: packet.BadConnectFlags},
	{name: "connect password without user", dir: ToServer, hex: "10 11 0004 'MQTT' 04 42 003c 0002 'c1' 0001 'p'", bad: true, reason: packet.BadConnectFlags},
	{name: "connect client id cut", dir: ToServer, hex: "10 0d 0004 'MQTT' 04 02 003c 0002 'c'", bad: true, reason: packet.BadSize},
	{name: "connect client id nul", dir: ToServer, hex: "10 0e 0004 'MQTT' 04 02 003c 0002 'c' 00", bad: true, reason: packet.BadString},
	{name: "connect client id surrogate", dir: ToServer, hex: "10 0f 0004 'MQTT' 04 02 003c 0003 edbfbf", bad: true, reason: packet.BadString},
	{name: "connect user name bad utf-8", dir: ToServer, hex: "10 11 0004 'MQTT' 04 82 003c 0002 'c1' 0001 ff", bad: true, reason: packet.BadString},
	{name: "connect user name missing", dir: ToServer, hex: "10 0e 0004 'MQTT' 04 82 003c 0002 'c1'", bad: true, reason: packet.BadSize},
	{name: "connect password missing", dir: ToServer, hex: "10 11 0004 'MQTT' 04 c2 003c 0002 'c1' 0001 'u'", bad: true, reason: packet.BadSize},
	{name: "connect will topic wildcard", dir: ToServer, hex: "10 14 0004 'MQTT' 04 06 003c 0002 'c1' 0001 '#' 0001 'x'", bad: true, reason: packet.BadTopic},
	{name: "connect will topic empty", dir: ToServer, hex: "10 13 0004 'MQTT' 04 06 003c 0002 'c1' 0000 0001 'x'", bad: true, reason: packet.BadTopic},
	{name: "connect will payload missing", dir: ToServer, hex: "10 11 0004 'MQTT' 04 06 003c 0002 'c1' 0001 'w'", bad: true, reason: packet.BadSize},
	{name: "connect trailing byte", dir: ToServer, hex: "10 0f 0004 'MQTT' 04 02 003c 0002 'c1' 00", bad: true, reason: packet.BadSize},
	{name: "connack flags", dir: ToClient, hex: "20 02 02 00", bad: true, reason: packet.BadConnackFlags},
	{name: "connack code 6", dir: ToClient, hex: "20 02 00 06", bad: true, reason: packet.BadConnackFlags},
	{name: "connack present and refused", dir: ToClient, hex: "20 02 01 05", bad: true, reason: packet.BadConnackFlags},
	{name: "connack long", dir: ToClient, hex: "20 03 00 00 00", bad: true, reason: packet.BadSize},
	{name: "suback code 3", dir: ToClient, hex: "90 03 0001 03", bad: true, reason: packet.BadReturnCode},
	{name: "suback no codes", dir: ToClient, hex: "90 02 0001", bad: true, reason: packet.BadSize},
	{name: "unsuback id 0", dir: ToClient, hex: "b0 02 0000", bad: true, reason: packet.ZeroID},
}

// Package packettest holds the golden packets of MQTT 3.1 and 3.1.1: bytes, who sends them, and for malformed ones the reason.
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
	Direction Direction
	Bytes     []byte
	Malformed bool
	Reason    packet.Reason // of a malformed one
}

// Golden returns the table; the caller may keep and change it.
func Golden() []Case {
	var all []Case
	for _, c := range good {
		all = append(all, Case{Name: c.name, Direction: c.dir, Bytes: unhex(c.hex)})
	}
	for _, c := range malformed {
		all = append(all, Case{Name: c.name, Direction: c.dir, Bytes: unhex(c.hex), Malformed: true, Reason: c.reason})
	}
	return all
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

var good = []struct {
	name string
	dir  Direction
	hex  string
}{
	{"connect least", ToServer, "10 0e 0004 'MQTT' 04 02 003c 0002 'c1'"},
	{"connect without client id", ToServer, "10 0c 0004 'MQTT' 04 02 0000 0000"},
	{"connect persistent", ToServer, "10 0e 0004 'MQTT' 04 00 0000 0002 'c1'"},
	{"connect 3.1", ToServer, "10 10 0006 'MQIsdp' 03 02 001e 0002 'c1'"},
	{"connect user and password", ToServer, "10 16 0004 'MQTT' 04 c2 003c 0002 'c1' 0001 'u' 0003 'p' 00ff"},
	{"connect user only", ToServer, "10 11 0004 'MQTT' 04 82 003c 0002 'c1' 0001 'u'"},
	{"connect will", ToServer, "10 14 0004 'MQTT' 04 06 003c 0002 'c1' 0001 'w' 0001 'x'"},
	{"connect will qos 2 retain empty payload", ToServer, "10 13 0004 'MQTT' 04 36 003c 0002 'c1' 0001 'w' 0000"},
	{"connect everything", ToServer, "10 1b 0004 'MQTT' 04 ee ffff 0002 'c1' 0001 'w' 0002 'xy' 0001 'u' 0001 'p'"},
	{"connack", ToClient, "20 02 00 00"},
	{"connack session present", ToClient, "20 02 01 00"},
	{"connack bad version", ToClient, "20 02 00 01"},
	{"connack not authorized", ToClient, "20 02 00 05"},
	{"publish qos 0", Both, "30 06 0003 'a/b' 'x'"},
	{"publish empty payload", Both, "30 05 0003 'a/b'"},
	{"publish retain", Both, "31 06 0003 'a/b' 'x'"},
	{"publish qos 1", Both, "32 08 0003 'a/b' 000a 'x'"},
	{"publish qos 1 dup", Both, "3a 08 0003 'a/b' ffff 'x'"},
	{"publish qos 2", Both, "34 07 0003 'a/b' 0001"},
	{"publish dup retain qos 2", Both, "3d 07 0003 'a/b' 0001"},
	{"publish utf-8", Both, "30 0a 0007 'é/' f09f9880 '1'"},
	{"publish blank and slash", Both, "30 05 0002 '/ ' '1'"},
	{"puback", Both, "40 02 0001"},
	{"pubrec", Both, "50 02 ffff"},
	{"pubrel", Both, "62 02 0001"},
	{"pubcomp", Both, "70 02 0001"},
	{"subscribe", ToServer, "82 08 0001 0003 'a/b' 01"},
	{"subscribe three", ToServer, "82 11 0001 0001 '#' 00 0003 '+/+' 01 0002 '/#' 02"},
	{"subscribe share-like and system", ToServer, "82 0d 0007 0008 '$sys/a/+' 00"},
	{"suback", ToClient, "90 03 0001 01"},
	{"suback failure and others", ToClient, "90 06 0001 80 00 01 02"},
	{"unsubscribe", ToServer, "a2 07 0002 0003 'a/b'"},
	{"unsubscribe two", ToServer, "a2 09 0002 0001 '#' 0002 '+/'"},
	{"unsuback", ToClient, "b0 02 0002"},
	{"pingreq", ToServer, "c0 00"},
	{"pingresp", ToClient, "d0 00"},
	{"disconnect", ToServer, "e0 00"},
}

var malformed = []struct {
	name   string
	dir    Direction
	hex    string
	reason packet.Reason
}{
	{"type 0", Both, "00 00", packet.BadType},
	{"type 15", Both, "f0 00", packet.BadType},
	{"http", ToServer, "'GET / HTTP/1.1'", packet.BadFlags},
	{"tls client hello", ToServer, "16 03 01 02 00", packet.BadFlags},
	{"connect reserved header flag", ToServer, "11 0e 0004 'MQTT' 04 02 003c 0002 'c1'", packet.BadFlags},
	{"pubrel flags 0", Both, "60 02 0001", packet.BadFlags},
	{"puback flags", Both, "42 02 0001", packet.BadFlags},
	{"subscribe flags 0", ToServer, "80 08 0001 0003 'a/b' 01", packet.BadFlags},
	{"unsubscribe flags 0", ToServer, "a0 07 0002 0003 'a/b'", packet.BadFlags},
	{"pingreq flags", ToServer, "c1 00", packet.BadFlags},
	{"disconnect flags", ToServer, "e1 00", packet.BadFlags},
	{"remaining length of five bytes", Both, "30 80 80 80 80 01", packet.BadLength},
	{"remaining length ff", Both, "30 ff ff ff ff", packet.BadLength},
	{"publish qos 3", Both, "36 07 0003 'a/b' 0001", packet.BadQoS},
	{"publish dup at qos 0", Both, "38 05 0003 'a/b'", packet.BadQoS},
	{"publish empty topic", Both, "30 02 0000", packet.BadTopic},
	{"publish wildcard +", Both, "30 05 0003 'a/+'", packet.BadTopic},
	{"publish wildcard #", Both, "30 03 0001 '#'", packet.BadTopic},
	{"publish nul", Both, "30 05 0003 'a' 00 'b'", packet.BadTopic},
	{"publish surrogate", Both, "30 05 0003 eda080", packet.BadTopic},
	{"publish overlong utf-8", Both, "30 04 0002 c0af", packet.BadTopic},
	{"publish cut utf-8", Both, "30 04 0002 'a' c3", packet.BadTopic},
	{"publish above u+10ffff", Both, "30 06 0004 f4908080", packet.BadTopic},
	{"publish topic longer than packet", Both, "30 05 0004 'a/b'", packet.BadSize},
	{"publish without topic length", Both, "30 01 00", packet.BadSize},
	{"publish nothing", Both, "30 00", packet.BadSize},
	{"publish qos 1 without id", Both, "32 05 0003 'a/b'", packet.BadSize},
	{"publish id 0", Both, "32 07 0003 'a/b' 0000", packet.ZeroID},
	{"puback id 0", Both, "40 02 0000", packet.ZeroID},
	{"puback short", Both, "40 01 00", packet.BadSize},
	{"puback long", Both, "40 03 0001 00", packet.BadSize},
	{"pubrel id 0", Both, "62 02 0000", packet.ZeroID},
	{"subscribe id 0", ToServer, "82 08 0000 0003 'a/b' 01", packet.ZeroID},
	{"subscribe nothing", ToServer, "82 00", packet.BadSize},
	{"subscribe no filter", ToServer, "82 02 0001", packet.NoFilters},
	{"subscribe no qos", ToServer, "82 07 0001 0003 'a/b'", packet.BadSize},
	{"subscribe qos 3", ToServer, "82 08 0001 0003 'a/b' 03", packet.BadQoS},
	{"subscribe reserved qos bits", ToServer, "82 08 0001 0003 'a/b' 81", packet.BadQoS},
	{"subscribe empty filter", ToServer, "82 05 0001 0000 01", packet.BadFilter},
	{"subscribe # in the middle", ToServer, "82 08 0001 0003 '#/b' 01", packet.BadFilter},
	{"subscribe a#", ToServer, "82 07 0001 0002 'a#' 01", packet.BadFilter},
	{"subscribe +a", ToServer, "82 07 0001 0002 '+a' 01", packet.BadFilter},
	{"subscribe a+/b", ToServer, "82 09 0001 0004 'a+/b' 01", packet.BadFilter},
	{"subscribe nul", ToServer, "82 06 0001 0001 00 01", packet.BadFilter},
	{"subscribe second filter cut", ToServer, "82 0b 0001 0003 'a/b' 01 0009 'c'", packet.BadSize},
	{"unsubscribe no filter", ToServer, "a2 02 0002", packet.NoFilters},
	{"unsubscribe bad filter", ToServer, "a2 06 0002 0002 'a#'", packet.BadFilter},
	{"unsubscribe id 0", ToServer, "a2 07 0000 0003 'a/b'", packet.ZeroID},
	{"pingreq with body", ToServer, "c0 01 00", packet.BadSize},
	{"disconnect with body", ToServer, "e0 01 00", packet.BadSize},
	{"connect nothing", ToServer, "10 00", packet.BadSize},
	{"connect name", ToServer, "10 0e 0004 'MQTX' 04 02 003c 0002 'c1'", packet.BadProtocolName},
	{"connect name in lower case", ToServer, "10 0e 0004 'mqtt' 04 02 003c 0002 'c1'", packet.BadProtocolName},
	{"connect level 6", ToServer, "10 0e 0004 'MQTT' 06 02 003c 0002 'c1'", packet.BadProtocolLevel},
	{"connect level 3 as MQTT", ToServer, "10 0e 0004 'MQTT' 03 02 003c 0002 'c1'", packet.BadProtocolLevel},
	{"connect 3.1 name level 4", ToServer, "10 10 0006 'MQIsdp' 04 02 001e 0002 'c1'", packet.BadProtocolLevel},
	{"connect reserved flag", ToServer, "10 0e 0004 'MQTT' 04 03 003c 0002 'c1'", packet.BadConnectFlags},
	{"connect will qos 3", ToServer, "10 14 0004 'MQTT' 04 1e 003c 0002 'c1' 0001 'w' 0001 'x'", packet.BadConnectFlags},
	{"connect will qos without will", ToServer, "10 0e 0004 'MQTT' 04 0a 003c 0002 'c1'", packet.BadConnectFlags},
	{"connect will retain without will", ToServer, "10 0e 0004 'MQTT' 04 22 003c 0002 'c1'", packet.BadConnectFlags},
	{"connect password without user", ToServer, "10 11 0004 'MQTT' 04 42 003c 0002 'c1' 0001 'p'", packet.BadConnectFlags},
	{"connect client id cut", ToServer, "10 0d 0004 'MQTT' 04 02 003c 0002 'c'", packet.BadSize},
	{"connect client id nul", ToServer, "10 0e 0004 'MQTT' 04 02 003c 0002 'c' 00", packet.BadString},
	{"connect client id surrogate", ToServer, "10 0f 0004 'MQTT' 04 02 003c 0003 edbfbf", packet.BadString},
	{"connect user name bad utf-8", ToServer, "10 11 0004 'MQTT' 04 82 003c 0002 'c1' 0001 ff", packet.BadString},
	{"connect user name missing", ToServer, "10 0e 0004 'MQTT' 04 82 003c 0002 'c1'", packet.BadSize},
	{"connect password missing", ToServer, "10 11 0004 'MQTT' 04 c2 003c 0002 'c1' 0001 'u'", packet.BadSize},
	{"connect will topic wildcard", ToServer, "10 14 0004 'MQTT' 04 06 003c 0002 'c1' 0001 '#' 0001 'x'", packet.BadTopic},
	{"connect will topic empty", ToServer, "10 13 0004 'MQTT' 04 06 003c 0002 'c1' 0000 0001 'x'", packet.BadTopic},
	{"connect will payload missing", ToServer, "10 11 0004 'MQTT' 04 06 003c 0002 'c1' 0001 'w'", packet.BadSize},
	{"connect trailing byte", ToServer, "10 0f 0004 'MQTT' 04 02 003c 0002 'c1' 00", packet.BadSize},
	{"connack flags", ToClient, "20 02 02 00", packet.BadConnackFlags},
	{"connack code 6", ToClient, "20 02 00 06", packet.BadConnackFlags},
	{"connack present and refused", ToClient, "20 02 01 05", packet.BadConnackFlags},
	{"connack long", ToClient, "20 03 00 00 00", packet.BadSize},
	{"suback code 3", ToClient, "90 03 0001 03", packet.BadReturnCode},
	{"suback no codes", ToClient, "90 02 0001", packet.BadSize},
	{"unsuback id 0", ToClient, "b0 02 0000", packet.ZeroID},
}

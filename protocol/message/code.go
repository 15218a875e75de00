package message

import "strconv"

// Code is a RetCode. Zero is success.
type Code int

// The codes of the protocol (device-protocol section 5 and 14). None of them is a non-zero multiple of 256: stock
// devices keep the low 8 bits, and to them it would look like success.
const (
	CodeOK       Code = 0
	CodeInternal Code = 130 // a fault of the hub's own

	CodeSignature Code = 171
	CodeMissing   Code = 210 // a parameter is missing
	CodeRange     Code = 220 // a value is out of its range
	CodeBad       Code = 230 // a parameter, or the whole payload, is malformed

	CodeNoSuchProduct     Code = 100003
	CodeNoSuchDevice      Code = 100008
	CodeWrongSecret       Code = 100014
	CodeVersionConflict   Code = 100026 // shadow
	CodeShadowDisabled    Code = 100027
	CodeNoSuchIdentifier  Code = 100038
	CodeNotOnline         Code = 100039
	CodeCommandTimeout    Code = 100040
	CodeBadCommandReply   Code = 100041
	CodeNoSuchCommand     Code = 100046
	CodeNoSuchEvent       Code = 100047
	CodeReadOnly          Code = 100049
	CodePublished         Code = 100054 // the product is published and its model frozen
	CodePropertyUndefined Code = 100058
	CodeTimestamp         Code = 100070
	CodeNoSuchIdentity    Code = 100071 // no such product or device
	CodeDisabled          Code = 100072
	CodeBadToken          Code = 100073
	CodeTokenExpired      Code = 100074
	CodeNoPermission      Code = 100075 // on the topic
	CodeTooLong           Code = 100076 // body
	CodePublishFailed     Code = 100077
)

var texts = map[Code]string{
	CodeOK:                "success",
	CodeInternal:          "internal error",
	CodeSignature:         "signature error",
	CodeMissing:           "missing parameter",
	CodeRange:             "parameter out of range",
	CodeBad:               "bad parameter",
	CodeNoSuchProduct:     "no such product",
	CodeNoSuchDevice:      "no such device",
	CodeWrongSecret:       "wrong secret",
	CodeVersionConflict:   "shadow version conflict",
	CodeShadowDisabled:    "shadow disabled",
	CodeNoSuchIdentifier:  "no such identifier",
	CodeNotOnline:         "device not online",
	CodeCommandTimeout:    "command timeout",
	CodeBadCommandReply:   "bad command reply",
	CodeNoSuchCommand:     "no such command",
	CodeNoSuchEvent:       "no such event",
	CodeReadOnly:          "property is read-only",
	CodePublished:         "product is published",
	CodePropertyUndefined: "property undefined",
	CodeTimestamp:         "bad timestamp",
	CodeNoSuchIdentity:    "no such product or device",
	CodeDisabled:          "device disabled",
	CodeBadToken:          "bad token",
	CodeTokenExpired:      "token expired",
	CodeNoPermission:      "no permission on the topic",
	CodeTooLong:           "body too long",
	CodePublishFailed:     "publish failed",
}

// Text returns a short description for the Message field: plain words without quotes, brackets or anything else that
// JSON escapes.
func (c Code) Text() string {
	if s, ok := texts[c]; ok {
		return s
	}
	return "error " + strconv.Itoa(int(c))
}

// Error makes a Code an error whose text is Text.
func (c Code) Error() string { return c.Text() }

// OK reports whether c is CodeOK.
func (c Code) OK() bool { return c == CodeOK }

package ingress

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// authRequest is the body of /auth.
type authRequest struct {
	device ident.Device
	at     time.Time // zero when the device sent no Timestamp
}

// parseAuth reads the body of /auth; the Timestamp is a number or a decimal string of Unix milliseconds.
func parseAuth(body []byte) (authRequest, message.Code, string) {
	var req authRequest
	doc, err := codec.Decode(body, codec.Limits{Size: maxAuthBody, Depth: 4, Count: 64})
	if err != nil {
		return req, message.CodeBad, "body is no JSON"
	}
	defer doc.Release()
	product, okP := doc.Root().Get("ProductSN").Str()
	sn, okD := doc.Root().Get("DeviceSN").Str()
	if !okP || !okD {
		return req, message.CodeMissing, "ProductSN or DeviceSN is missing"
	}
	req.device = ident.Device{Product: strings.Clone(product), SN: strings.Clone(sn)}
	if req.device.Check() != nil {
		return req, message.CodeBad, "ProductSN or DeviceSN is malformed"
	}
	ms, err := timestamp(doc.Root().Get("Timestamp"))
	if err != nil {
		return req, message.CodeTimestamp, "Timestamp is no number of milliseconds"
	}
	if ms != 0 {
		req.at = time.UnixMilli(ms)
	}
	return req, message.CodeOK, ""
}

var errTimestamp = errors.New("ingress: bad timestamp")

func timestamp(v codec.Value) (int64, error) {
	switch v.Kind() {
	case codec.Missing, codec.Null:
		return 0, nil
	case codec.Int:
		n, _ := v.Int()
		return n, nil
	case codec.Float: // 1.7e12, as some printf-made JSON has it
		f, _ := v.Float()
		if f < 0 || f > 1<<53 {
			return 0, errTimestamp
		}
		return int64(f), nil
	case codec.String:
		s, _ := v.Str()
		return strconv.ParseInt(s, 10, 64)
	}
	return 0, errTimestamp
}

// topicOf is the topic in a request's path, with one slash in front whether the URL has it or not, and with ?parse=true when
// that is the query.
func topicOf(path, query string) string {
	name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, "/topic/"), "/")
	if query == "parse=true" {
		name += "?" + query
	}
	return name
}

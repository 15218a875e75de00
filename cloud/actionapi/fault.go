package actionapi

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/provision"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/connector"
	"github.com/hawser-iot/hawser/cloud/script"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/cloud/upload"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// The RetCodes of this API beside those that devices get.
const (
	codeNoAction      message.Code = 160
	codeUnknownAction message.Code = 161
	codeNoSignature   message.Code = 170
	codeSignature                  = message.CodeSignature // 171
	codeNoUser        message.Code = 172
	codeForbidden     message.Code = 291
	codeNoProject     message.Code = 292
	codeInternal                   = message.CodeInternal // 130
	codeMissing                    = message.CodeMissing  // 210
	codeRange                      = message.CodeRange    // 220
	codeBad                        = message.CodeBad      // 230

	codeProductName  message.Code = 100001 // is taken
	codeTopicExists  message.Code = 100005
	codeNoTopic      message.Code = 100006
	codeDeviceExists message.Code = 100007
	codeRuleName     message.Code = 100011 // is taken
	codeNoRule       message.Code = 100012
	codeRuleSQL      message.Code = 100013 // is not complete
	codeActionExists message.Code = 100015
	codeNoRuleAction message.Code = 100016
	codeRuleAction   message.Code = 100017 // is not complete
	codeDevices      message.Code = 100019 // too many
	codeNoRecord     message.Code = 100020
	codeSQL          message.Code = 100021
	codeRuleRunning  message.Code = 100022
	codeRuleExists   message.Code = 100028
	codeProducts     message.Code = 100052 // too many
	codeTooOften     message.Code = 100053
	codeTopics       message.Code = 100055 // too many
	codeRules        message.Code = 100056 // too many
	codeRuleActions  message.Code = 100057 // too many
)

// fault is an answer that is an error.
type fault struct {
	code message.Code
	text string
}

func (f fault) Error() string { return fmt.Sprintf("actionapi: %d: %s", f.code, f.text) }

// missing is a parameter that must be there.
func missing(name string) fault {
	return fault{codeMissing, "the parameter " + name + " is missing"}
}

// bad is a parameter with a value that will not do.
func bad(name, format string, args ...any) fault {
	return fault{codeBad, name + ": " + fmt.Sprintf(format, args...)}
}

// codes maps the domain's sentinels, the first that fits.
var codes = []struct {
	err  error
	code message.Code
}{
	{registry.ErrProductNotFound, message.CodeNoSuchProduct},
	{registry.ErrDeviceNotFound, message.CodeNoSuchDevice},
	{registry.ErrExists, codeDeviceExists},
	{registry.ErrPublished, message.CodePublished},
	{registry.ErrHasDevices, codeBad},
	{registry.ErrLimit, codeRange},
	{provision.ErrNotGateway, codeBad},
	{provision.ErrNotSubdevice, codeBad},
	{provision.ErrNoGateway, codeNoRecord},
	{shadow.ErrDisabled, message.CodeShadowDisabled},
	{shadow.ErrRevision, message.CodeVersionConflict},
	{shadow.ErrVersion, message.CodeVersionConflict},
	{shadow.ErrTooLarge, codeRange},
	{shadow.ErrTooLargeForDevice, codeRange},
	{thingmodel.ErrTooLargeForDevice, codeRange},
	{downlink.ErrOffline, message.CodeNotOnline},
	{downlink.ErrNotSubscribed, message.CodeNotOnline},
	{downlink.ErrTooLargeForDevice, codeRange},
	{upload.ErrNotFound, codeNoRecord},
	{blob.ErrNotFound, codeNoRecord},
	{job.ErrTooMany, codeTooOften},
	{script.ErrPaused, codeBad},
	{rules.ErrNotFound, codeNoRule},
	{rules.ErrExists, codeRuleName},
	{rules.ErrRevision, codeBad},
}

// quotas are the codes of a quota that is used up, by what it counts.
var quotas = map[account.QuotaKind]message.Code{account.QuotaDevices: codeDevices, account.QuotaProducts: codeProducts, account.QuotaRules: codeRules}

// codeOf is the RetCode of an error; what nobody expected is the hub's own fault.
func (f *face) codeOf(err error) message.Code {
	if err == nil {
		return message.CodeOK
	}
	if e, ok := errors.AsType[fault](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[*account.QuotaError](err); ok && quotas[e.Kind] != 0 {
		return quotas[e.Kind]
	}
	if code := thingmodel.CodeOf(err); code != message.CodeInternal {
		return code
	}
	if e, ok := errors.AsType[*rules.ErrInvalid](err); ok {
		return ruleCode(e)
	}
	if is[*connector.ErrInvalid](err) || errors.Is(err, connector.ErrTooMany) {
		return codeRuleAction
	}
	for _, known := range codes {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	if invalid(err) {
		return codeBad
	}
	return codeInternal
}

// ruleCode tells what is wrong with a rule apart: its query, its actions, or another part.
func ruleCode(e *rules.ErrInvalid) message.Code {
	switch {
	case e.Field == "sql":
		return codeSQL
	case strings.HasPrefix(e.Field, "actions"):
		return codeRuleAction
	}
	return codeBad
}

// invalid tells whether an error is about a value that was sent.
func invalid(err error) bool {
	for _, is := range []func(error) bool{is[*registry.ErrInvalid], is[*shadow.ErrInvalid], is[*thingmodel.ErrInvalid], is[*account.ErrInvalid], is[*filter.Error],
		is[*script.Fault], is[*script.InvalidError], is[*thing.Violation]} {
		if is(err) {
			return true
		}
	}
	return false
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// prefix is the package that our errors begin with; it means nothing to a reader of the API.
var prefix = regexp.MustCompile(`\b(registry|provision|job|account|downlink|connector|shadow|thingmodel|rules|rulesql|thing|topic|ident|shadowdoc|codec|upload|filter|script): `)

// textOf is the Message of an error.
func (f *face) textOf(err error, request string) string {
	if e, ok := errors.AsType[fault](err); ok {
		return e.text
	}
	switch {
	case f.codeOf(err) != codeInternal:
		return prefix.ReplaceAllString(err.Error(), "")
	case errors.Is(err, store.ErrUnavailable), store.IsTemporary(err), errors.Is(err, blob.ErrUnavailable):
		return "the store cannot be written or read just now; try again"
	case errors.Is(err, context.DeadlineExceeded):
		return "the hub did not finish in time; try again"
	}
	return "internal error; the hub's log has the details under the request id " + request
}

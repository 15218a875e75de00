package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/agentconf"
	"github.com/hawser-iot/hawser/cloud/agentlink"
	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/fleet"
	"github.com/hawser-iot/hawser/cloud/idempotency"
	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/ota/artifact"
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
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/thing"
)

// problem is an answer that is an error. It is an error itself, so that operations may return one.
type problem struct {
	status  int
	code    string
	detail  string
	field   string
	class   failure.Class
	retCode message.Code
}

func (p problem) Error() string { return fmt.Sprintf("api: %s: %s", p.code, p.detail) }

// invalid is a member or parameter with a value that will not do.
func invalid(field, format string, args ...any) problem {
	return problem{status: http.StatusBadRequest, code: "invalid", field: field, detail: fmt.Sprintf(format, args...)}
}

// problems maps the domain's sentinels, the first that fits: the one place where they become a status and a stable
// code. An empty detail takes the error's own text.
var problems = []struct {
	err error
	problem
}{
	{account.ErrBadKey, problem{status: http.StatusUnauthorized, code: "unauthorized", detail: "the API key or session is not valid"}},
	{account.ErrWrongLogin, problem{status: http.StatusUnauthorized, code: "wrong_login"}},
	{account.ErrTOTPRequired, problem{status: http.StatusUnauthorized, code: "totp_required"}},
	{account.ErrWrongTOTP, problem{status: http.StatusUnauthorized, code: "wrong_code"}},
	{account.ErrTOTPOn, problem{status: http.StatusConflict, code: "totp_on"}},
	{account.ErrTOTPOff, problem{status: http.StatusConflict, code: "totp_off"}},
	{account.ErrNotUser, problem{status: http.StatusForbidden, code: "not_a_user"}},
	{account.ErrFlow, problem{status: http.StatusBadRequest, code: "login_over"}},
	{account.ErrUnknownSubject, problem{status: http.StatusForbidden, code: "unknown_user"}},
	{account.ErrBusy, problem{status: http.StatusServiceUnavailable, code: "busy"}},
	{account.ErrThrottled, problem{status: http.StatusTooManyRequests, code: "throttled"}},
	{account.ErrUserNotFound, problem{status: http.StatusNotFound, code: "user_not_found"}},
	{account.ErrProjectNotFound, problem{status: http.StatusNotFound, code: "project_not_found"}},
	{account.ErrMemberNotFound, problem{status: http.StatusNotFound, code: "member_not_found"}},
	{account.ErrSessionNotFound, problem{status: http.StatusNotFound, code: "session_not_found"}},
	{account.ErrExceeds, problem{status: http.StatusForbidden, code: "exceeds_own"}},
	{account.ErrExists, problem{status: http.StatusConflict, code: "exists"}},
	{account.ErrNotEmpty, problem{status: http.StatusConflict, code: "project_not_empty"}},
	{account.ErrLastOwnerUser, problem{status: http.StatusConflict, code: "last_owner"}},
	{account.ErrQuota, problem{status: http.StatusUnprocessableEntity, code: "quota_exceeded"}},
	{account.ErrNotFound, problem{status: http.StatusNotFound, code: "api_key_not_found"}},
	{account.ErrLastOwner, problem{status: http.StatusConflict, code: "last_owner_key"}},
	{registry.ErrProductNotFound, problem{status: http.StatusNotFound, code: "product_not_found", retCode: message.CodeNoSuchProduct}},
	{registry.ErrDeviceNotFound, problem{status: http.StatusNotFound, code: "device_not_found", retCode: message.CodeNoSuchDevice}},
	{registry.ErrExists, problem{status: http.StatusConflict, code: "device_exists"}},
	{registry.ErrGroupNotFound, problem{status: http.StatusNotFound, code: "group_not_found"}},
	{registry.ErrGroupExists, problem{status: http.StatusConflict, code: "group_exists"}},
	{registry.ErrGroupByFilter, problem{status: http.StatusConflict, code: "group_by_filter"}},
	{registry.ErrRevision, problem{status: http.StatusPreconditionFailed, code: "revision_mismatch"}},
	{registry.ErrHasDevices, problem{status: http.StatusConflict, code: "product_has_devices"}},
	{registry.ErrVersionNotFound, problem{status: http.StatusNotFound, code: "version_not_found"}},
	{registry.ErrPublished, problem{status: http.StatusConflict, code: "product_published", retCode: message.CodePublished}},
	{registry.ErrLimit, problem{status: http.StatusUnprocessableEntity, code: "limit_exceeded"}},
	{provision.ErrNotGateway, problem{status: http.StatusConflict, code: "not_a_gateway"}},
	{provision.ErrNotSubdevice, problem{status: http.StatusConflict, code: "not_a_subdevice"}},
	{provision.ErrNoGateway, problem{status: http.StatusNotFound, code: "gateway_not_found"}},
	{provision.ErrNoRequest, problem{status: http.StatusNotFound, code: "topology_request_not_found"}},
	{shadow.ErrDisabled, problem{status: http.StatusConflict, code: "shadow_disabled", retCode: message.CodeShadowDisabled}},
	{shadow.ErrRevision, problem{status: http.StatusPreconditionFailed, code: "revision_mismatch", retCode: message.CodeVersionConflict}},
	{shadow.ErrTooLarge, problem{status: http.StatusUnprocessableEntity, code: "too_large"}},
	{shadow.ErrTooLargeForDevice, problem{status: http.StatusUnprocessableEntity, code: "too_large_for_device"}},
	{shadow.ErrBusy, problem{status: http.StatusServiceUnavailable, code: "busy"}},
	{thingmodel.ErrNoModel, problem{status: http.StatusConflict, code: "no_thing_model", retCode: message.CodePropertyUndefined}},
	{thingmodel.ErrOffline, problem{status: http.StatusConflict, code: "device_offline", detail: "the device is offline", retCode: message.CodeNotOnline}},
	{thingmodel.ErrNotSubscribed, problem{status: http.StatusConflict, code: "not_subscribed", detail: "the device is online but not subscribed to the topic", retCode: message.CodeNotOnline}},
	{thingmodel.ErrTimeout, problem{status: http.StatusGatewayTimeout, code: "device_timeout", detail: "the device did not answer in time; it may have done what it was asked for", retCode: message.CodeCommandTimeout}},
	{thingmodel.ErrNoHistory, problem{status: http.StatusConflict, code: "no_history"}},
	{thingmodel.ErrQueueFull, problem{status: http.StatusConflict, code: "command_queue_full", retCode: message.CodeNotOnline}},
	{thingmodel.ErrNoRecord, problem{status: http.StatusNotFound, code: "command_not_found"}},
	{thingmodel.ErrNotQueued, problem{status: http.StatusConflict, code: "command_not_queued"}},
	{thingmodel.ErrTooLargeForDevice, problem{status: http.StatusUnprocessableEntity, code: "too_large_for_device", detail: "the message is too large for the device"}},
	{script.ErrNotFound, problem{status: http.StatusNotFound, code: "script_not_found"}},
	{script.ErrVersionNotFound, problem{status: http.StatusNotFound, code: "version_not_found"}},
	{script.ErrRevision, problem{status: http.StatusPreconditionFailed, code: "revision_mismatch"}},
	{script.ErrPaused, problem{status: http.StatusConflict, code: "script_paused"}},
	{script.ErrBusy, problem{status: http.StatusServiceUnavailable, code: "busy"}},
	{rules.ErrNotFound, problem{status: http.StatusNotFound, code: "rule_not_found"}},
	{rules.ErrNoDeadLetter, problem{status: http.StatusNotFound, code: "dead_letter_not_found"}},
	{rules.ErrRevision, problem{status: http.StatusPreconditionFailed, code: "revision_mismatch"}},
	{rules.ErrExists, problem{status: http.StatusConflict, code: "rule_exists"}},
	{connector.ErrNotFound, problem{status: http.StatusNotFound, code: "connector_not_found"}},
	{connector.ErrRevision, problem{status: http.StatusPreconditionFailed, code: "revision_mismatch"}},
	{connector.ErrExists, problem{status: http.StatusConflict, code: "connector_exists"}},
	{connector.ErrInUse, problem{status: http.StatusConflict, code: "connector_in_use"}},
	{connector.ErrTooMany, problem{status: http.StatusUnprocessableEntity, code: "limit_exceeded"}},
	{idempotency.ErrInHand, problem{status: http.StatusConflict, code: "request_in_hand"}},
	{idempotency.ErrOther, problem{status: http.StatusUnprocessableEntity, code: "idempotency_key_reused"}},
	{idempotency.ErrTooMany, problem{status: http.StatusTooManyRequests, code: "too_many_idempotency_keys"}},
	{job.ErrNotFound, problem{status: http.StatusNotFound, code: "job_not_found"}},
	{job.ErrNotFinished, problem{status: http.StatusConflict, code: "job_not_finished"}},
	{job.ErrFinished, problem{status: http.StatusConflict, code: "job_finished"}},
	{job.ErrTooMany, problem{status: http.StatusServiceUnavailable, code: "too_many_jobs"}},
	{job.ErrInputTooLarge, problem{status: http.StatusRequestEntityTooLarge, code: "too_large"}},
	{authority.ErrNotFound, problem{status: http.StatusNotFound, code: "ca_not_found"}},
	{authority.ErrIssues, problem{status: http.StatusConflict, code: "ca_issues"}},
	{authority.ErrHolding, problem{status: http.StatusConflict, code: "ca_in_use"}},
	{authority.ErrRotated, problem{status: http.StatusConflict, code: "ca_rotated"}},
	{authority.ErrExists, problem{status: http.StatusConflict, code: "ca_exists"}},
	{authority.ErrNoCertificate, problem{status: http.StatusNotFound, code: "certificate_not_found"}},
	{ota.ErrFirmwareNotFound, problem{status: http.StatusNotFound, code: "firmware_not_found"}},
	{ota.ErrCampaignNotFound, problem{status: http.StatusNotFound, code: "campaign_not_found"}},
	{ota.ErrNoDeployment, problem{status: http.StatusNotFound, code: "not_in_campaign"}},
	{ota.ErrOwnApproval, problem{status: http.StatusForbidden, code: "own_approval"}},
	{ota.ErrNeedsApproval, problem{status: http.StatusConflict, code: "approval_needed"}},
	{ota.ErrRevision, problem{status: http.StatusPreconditionFailed, code: "revision_mismatch"}},
	{ota.ErrTaskNotFound, problem{status: http.StatusNotFound, code: "task_not_found"}},
	{ota.ErrExists, problem{status: http.StatusConflict, code: "firmware_exists"}},
	{ota.ErrInUse, problem{status: http.StatusConflict, code: "firmware_in_use"}},
	{ota.ErrEnded, problem{status: http.StatusConflict, code: "task_ended"}},
	{ota.ErrPlain, problem{status: http.StatusConflict, code: "plain_http"}},
	{ota.ErrTooLarge, problem{status: http.StatusRequestEntityTooLarge, code: "too_large"}},
	{ota.ErrNotReady, problem{status: http.StatusConflict, code: "release_not_ready"}},
	{artifact.ErrNotFound, problem{status: http.StatusNotFound, code: "firmware_not_found"}},
	{artifact.ErrNoRoot, problem{status: http.StatusConflict, code: "no_root"}},
	{artifact.ErrNoDirector, problem{status: http.StatusNotFound, code: "director_not_found"}},
	{artifact.ErrRotating, problem{status: http.StatusConflict, code: "director_rotating"}},
	{artifact.ErrLastDirector, problem{status: http.StatusConflict, code: "director_last"}},
	{artifact.ErrNoFile, problem{status: http.StatusNotFound, code: "file_not_found"}},
	{artifact.ErrTooLarge, problem{status: http.StatusRequestEntityTooLarge, code: "too_large"}},
	{artifact.ErrBusy, problem{status: http.StatusServiceUnavailable, code: "busy"}},
	{alarm.ErrNotFound, problem{status: http.StatusNotFound, code: "alarm_not_found"}},
	{alarm.ErrRuleNotFound, problem{status: http.StatusNotFound, code: "alarm_rule_not_found"}},
	{alarm.ErrChannelNotFound, problem{status: http.StatusNotFound, code: "alarm_channel_not_found"}},
	{alarm.ErrExists, problem{status: http.StatusConflict, code: "exists"}},
	{alarm.ErrRevision, problem{status: http.StatusPreconditionFailed, code: "revision_mismatch"}},
	{alarm.ErrInUse, problem{status: http.StatusConflict, code: "alarm_channel_in_use"}},
	{alarm.ErrTooMany, problem{status: http.StatusConflict, code: "limit_exceeded"}},
	{alarm.ErrCleared, problem{status: http.StatusConflict, code: "alarm_cleared"}},
	{upload.ErrNotFound, problem{status: http.StatusNotFound, code: "file_not_found"}},
	{upload.ErrPolicy, problem{status: http.StatusBadRequest, code: "invalid"}},
	{agentlink.ErrNoBundle, problem{status: http.StatusConflict, code: "no_bundle"}},
	{agentlink.ErrBundleOpen, problem{status: http.StatusConflict, code: "diagnosis_open"}},
	{agentlink.ErrNotAsked, problem{status: http.StatusNotFound, code: "diagnosis_not_found"}},
	{agentconf.ErrNotFound, problem{status: http.StatusNotFound, code: "agent_config_not_found"}},
	{agentconf.ErrVersionNotFound, problem{status: http.StatusNotFound, code: "version_not_found"}},
	{agentconf.ErrRevision, problem{status: http.StatusPreconditionFailed, code: "revision_mismatch"}},
	{agentlink.ErrUnknown, problem{status: http.StatusNotFound, code: "no_agent", detail: "the device has no agent that speaks the agent channel"}},
	{blob.ErrNotFound, problem{status: http.StatusNotFound, code: "content_not_found", detail: "the content is not in the blob store"}},
	{blob.ErrUnavailable, problem{status: http.StatusServiceUnavailable, code: "unavailable", detail: "the blob store cannot be written or read just now; try again"}},
	{downlink.ErrOffline, problem{status: http.StatusConflict, code: "device_offline", retCode: message.CodeNotOnline}},
	{downlink.ErrNoAnswer, problem{status: http.StatusGatewayTimeout, code: "device_timeout", retCode: message.CodeCommandTimeout}},
	{downlink.ErrNotSubscribed, problem{status: http.StatusConflict, code: "not_subscribed"}},
	{downlink.ErrTooLargeForDevice, problem{status: http.StatusUnprocessableEntity, code: "too_large_for_device"}},
	{downlink.ErrReplyTopic, problem{status: http.StatusConflict, code: "request_in_hand"}},
	{downlink.ErrFull, problem{status: http.StatusServiceUnavailable, code: "device_queue_full"}},
	{store.ErrUnavailable, problem{status: http.StatusServiceUnavailable, code: "unavailable", detail: "the store cannot be written or read just now; try again"}},
	{context.DeadlineExceeded, problem{status: http.StatusGatewayTimeout, code: "timeout", detail: "the hub did not finish in time; try again"}},
}

// problemOf finds the problem that err is; ok is false for what nobody expected.
func problemOf(err error) (p problem, ok bool) {
	if p, ok := errors.AsType[problem](err); ok {
		return p, true
	}
	if errors.Is(err, thingmodel.ErrBadReply) { // before what is wrong with the reply, which is not the caller's fault
		return problem{status: http.StatusBadGateway, code: "bad_device_reply", detail: plain(err.Error()), retCode: message.CodeBadCommandReply}, true
	}
	if p, ok := invalidOf(err); ok {
		return p, true
	}
	for _, known := range problems {
		if errors.Is(err, known.err) {
			p = known.problem
			if p.detail == "" {
				p.detail = plain(err.Error())
			}
			return p, true
		}
	}
	if store.IsTemporary(err) {
		return problemOf(store.ErrUnavailable)
	}
	return problem{}, false
}

// invalidOf translates the errors that name a member.
func invalidOf(err error) (problem, bool) {
	if e, ok := errors.AsType[*filter.Error](err); ok {
		return problem{status: http.StatusBadRequest, code: "invalid_filter", field: "filter", detail: e.Error()}, true
	}
	if e, ok := errors.AsType[*registry.ErrInvalid](err); ok {
		return invalid(e.Field, "%s: %s", e.Field, e.Reason), true
	}
	if p, ok := scriptProblem(err); ok {
		return p, true
	}
	if errors.Is(err, provision.ErrCursor) {
		return invalid("cursor", "cursor: is none that a page gave"), true
	}
	if e, ok := errors.AsType[*artifact.RefusedError](err); ok {
		return problem{status: http.StatusUnprocessableEntity, code: "firmware_refused", class: failure.Of(e), detail: plain(e.Error())}, true
	}
	if e, ok := errors.AsType[*ota.ErrStatus](err); ok {
		return problem{status: http.StatusConflict, code: "campaign_status", detail: e.Error()}, true
	}
	if e, ok := errors.AsType[*ota.ErrNoWay](err); ok {
		return problem{status: http.StatusUnprocessableEntity, code: "no_way", field: "targets", detail: e.Error()}, true
	}
	if e, ok := errors.AsType[*ota.ErrInvalid](err); ok {
		return invalid(e.Field, "%s: %s", e.Field, e.Reason), true
	}
	if e, ok := errors.AsType[*agentconf.InvalidError](err); ok {
		return invalid(e.Field, "%s", e.Error()), true
	}
	if e, ok := errors.AsType[*shadow.ErrInvalid](err); ok {
		return invalid(e.Field, "%s: %s", e.Field, e.Reason), true
	}
	if e, ok := errors.AsType[*thingmodel.ErrInvalid](err); ok {
		return invalid(e.Field, "%s: %s", e.Field, e.Reason), true
	}
	if e, ok := errors.AsType[*rules.ErrInvalid](err); ok {
		p := invalid(e.Field, "%s: %s", e.Field, plain(e.Reason))
		if e.Field == "sql" {
			p.code = "invalid_sql"
		}
		return p, true
	}
	if e, ok := errors.AsType[*alarm.ErrInvalid](err); ok {
		return invalid(e.Field, "%s: %s", e.Field, plain(e.Reason)), true
	}
	if e, ok := errors.AsType[*connector.ErrInvalid](err); ok {
		return invalid(e.Field, "%s: %s", e.Field, plain(e.Reason)), true
	}
	if e, ok := errors.AsType[*fleet.ErrFile](err); ok {
		p := invalid("body", "%s", e.Reason)
		p.code = "invalid_file"
		return p, true
	}
	if e, ok := errors.AsType[*authority.ErrInvalid](err); ok {
		return invalid(e.Field, "%s %s", e.Field, e.Reason), true
	}
	if e, ok := errors.AsType[*account.ErrInvalid](err); ok {
		return invalid(e.Field, "%s: %s", e.Field, e.Reason), true
	}
	if e, ok := errors.AsType[*thing.Violation](err); ok {
		p := invalid(e.Identifier, "%s", plain(e.Error()))
		p.retCode = e.Code
		return p, true
	}
	return problem{}, false
}

// packages are the prefixes that our errors begin with; they mean nothing to a reader of the API.
var packages = strings.NewReplacer("registry: ", "", "provision: ", "", "job: ", "", "idempotency: ", "", "authority: ", "", "account: ", "", "downlink: ", "", "shadow: ", "", "thingmodel: ", "", "ota: ", "", "artifact: ", "",
	"alarm: ", "", "connector: ", "", "template: ", "", "rules: ", "", "rulesql: ", "", "thing: ", "", "topic: ", "", "ident: ", "", "shadowdoc: ", "", "codec: ", "")

func plain(text string) string { return packages.Replace(text) }

// fail answers an operation's error.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := problemOf(err)
	switch {
	case ok:
	case r.Context().Err() != nil:
		return // the caller has gone
	default:
		p = problem{status: http.StatusInternalServerError, code: "internal", detail: "the hub's log has the details under this request id"}
	}
	if p.status == http.StatusInternalServerError || p.status == http.StatusServiceUnavailable { // the others are the device's
		s.log.Error("API request failed", "method", r.Method, "path", r.URL.Path, "request", requestID(r.Context()), "code", p.code, "err", err)
	}
	if p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	if e, ok := errors.AsType[*account.ThrottledError](err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(e.After.Round(time.Second)/time.Second))))
	}
	s.write(w, r, p)
}

// badRequest answers a body or parameter that cannot be read.
func (s *server) badRequest(w http.ResponseWriter, r *http.Request, err error) {
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		s.write(w, r, problem{status: http.StatusRequestEntityTooLarge, code: "too_large", detail: fmt.Sprintf("the body is longer than %d bytes", e.Limit)})
		return
	}
	if p, ok := errors.AsType[problem](err); ok {
		s.write(w, r, p)
		return
	}
	p := problem{status: http.StatusBadRequest, code: "invalid", detail: err.Error()}
	if e, ok := errors.AsType[*apitype.InvalidParamFormatError](err); ok {
		p.field, p.detail = e.ParamName, e.ParamName+": cannot be read as what it should be"
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		p.field, p.detail = e.Field, fmt.Sprintf("%s: is a JSON %s", e.Field, e.Value)
	} else {
		p.detail = strings.TrimPrefix(p.detail, "can't decode JSON body: ")
	}
	s.write(w, r, p)
}

func (s *server) write(w http.ResponseWriter, r *http.Request, p problem) {
	body := apitype.Problem{Type: "about:blank", Title: http.StatusText(p.status), Status: p.status, Code: p.code,
		Detail: p.detail, Field: p.field, Class: string(p.class), RetCode: int(p.retCode), RequestID: requestID(r.Context())}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(body) // nobody is left to tell
}

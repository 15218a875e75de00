package ucloud

import (
	"encoding/base64"
	"errors"
	"os"
	"testing"
	"time"

	sdk "github.com/ucloud/ucloud-sdk-go/ucloud"
	"github.com/ucloud/ucloud-sdk-go/ucloud/auth"
	"github.com/ucloud/ucloud-sdk-go/ucloud/config"
	uerr "github.com/ucloud/ucloud-sdk-go/ucloud/error"
	"github.com/ucloud/ucloud-sdk-go/ucloud/log"
	"github.com/ucloud/ucloud-sdk-go/ucloud/request"
	"github.com/ucloud/ucloud-sdk-go/ucloud/response"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.RemoveBinaries()
	os.Exit(code)
}

// start is a hub and the SDK's client, pointed at it.
func start(t *testing.T) (*harness.Hub, *sdk.Client) {
	t.Helper()
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--action-api"}})
	var made struct{ PublicKey, PrivateKey string }
	if err := hub.Call("POST", "/v1/api-keys", map[string]any{"name": "sdk", "pair": true, "role": "operator", "project": "default"}, &made); err != nil {
		t.Fatal(err)
	}
	cfg := config.NewConfig()
	cfg.BaseUrl, cfg.Region, cfg.Zone, cfg.ProjectId = "http://"+hub.HTTP, "cn-sh2", "cn-sh2-02", "org-z44lmf"
	cfg.LogLevel, cfg.Timeout = log.ErrorLevel, time.Minute
	credential := auth.NewCredential()
	credential.PublicKey, credential.PrivateKey = made.PublicKey, made.PrivateKey
	return hub, sdk.NewClient(&cfg, &credential)
}

// ask is a request without types, which the SDK has for services that it knows nothing of.
func ask(t *testing.T, c *sdk.Client, json bool, action string, payload map[string]any) (map[string]any, error) {
	t.Helper()
	req := c.NewGenericRequest()
	if err := req.SetAction(action); err != nil {
		t.Fatal(err)
	}
	if err := req.SetPayload(payload); err != nil {
		t.Fatal(err)
	}
	if json {
		req.SetEncoder(request.NewJSONEncoder(c.GetConfig(), c.GetCredential()))
	}
	resp, err := c.GenericInvoke(req)
	if err != nil {
		return nil, err
	}
	return resp.GetPayload(), nil
}

func TestGenericRequests(t *testing.T) {
	_, c := start(t)
	for _, json := range []bool{false, true} {
		name := "form"
		if json {
			name = "JSON"
		}
		t.Run(name, func(t *testing.T) {
			made, err := ask(t, c, json, "CreateUIoTCoreProduct", map[string]any{"ProductName": name + " 电灯", "Description": "a & b"})
			if err != nil {
				t.Fatal(err)
			}
			p := made["ProductSN"].(string)
			batch, err := ask(t, c, json, "BatchCreateUIoTCoreDeviceWithSN", map[string]any{"ProductSN": p, "DeviceSN": []string{"1234567", "1236786", "876544"}})
			if err != nil || len(batch["DeviceSet"].([]any)) != 3 {
				t.Errorf("BatchCreateUIoTCoreDeviceWithSN: %v, %v", batch, err)
			}
			list, err := ask(t, c, json, "GetUIoTCoreDeviceList", map[string]any{"ProductSN": p, "Limit": 2, "Offset": 1})
			if err != nil || list["TotalCount"] != 3.0 || len(list["DeviceSet"].([]any)) != 2 {
				t.Errorf("GetUIoTCoreDeviceList: %v, %v", list, err)
			}
			reset, err := ask(t, c, json, "ResetUIoTCoreDevice", map[string]any{"ProductSN": p, "DeviceSN": "876544", "ResetPassword": true})
			if err != nil || reset["Action"] != "ResetUIoTCoreDeviceResponse" {
				t.Errorf("ResetUIoTCoreDevice: %v, %v", reset, err)
			}
			_, err = ask(t, c, json, "DeleteUIoTCoreDevice", map[string]any{"ProductSN": p, "DeviceSN": "nobody"})
			if e, ok := errors.AsType[uerr.ServerError](err); !ok || e.Code() != 100008 {
				t.Errorf("DeleteUIoTCoreDevice of nobody: %v", err)
			}
		})
	}
}

// updateShadow is a request with types, as programs write them for the services that the SDK has none for.
type updateShadow struct {
	request.CommonBase
	ProductSN, DeviceSN    *string
	Desired, ShadowVersion *string
}

type shadow struct {
	response.CommonBase
	Payload struct {
		State struct{ Desired map[string]any }
	}
	Version   int
	Timestamp string
}

func TestTypedRequest(t *testing.T) {
	hub, c := start(t)
	p := hub.Product(map[string]any{"name": "shadow"})
	d := hub.Devices(p, 1)[0]
	req := &updateShadow{ProductSN: sdk.String(p), DeviceSN: sdk.String(d.DeviceSN),
		Desired: sdk.String(base64.StdEncoding.EncodeToString([]byte(`{"temperature":17}`))), ShadowVersion: sdk.String("0")}
	c.SetupRequest(req)
	req.SetRetryable(false)
	var resp shadow
	if err := c.InvokeAction("UpdateUIoTCoreDeviceShadow", req, &resp); err != nil || resp.Version != 1 || resp.Payload.State.Desired["temperature"] != 17.0 || resp.Timestamp == "" {
		t.Errorf("UpdateUIoTCoreDeviceShadow: %+v, %v", resp, err)
	}
	var again shadow
	err := c.InvokeAction("UpdateUIoTCoreDeviceShadow", req, &again)
	if e, ok := errors.AsType[uerr.ServerError](err); !ok || e.Code() != 100026 {
		t.Errorf("the same again: %v, want a version conflict", err)
	}
}

// A wrong key is told as the SDK expects it.
func TestWrongKey(t *testing.T) {
	_, c := start(t)
	for name, change := range map[string]func(*auth.Credential){
		"171": func(a *auth.Credential) { a.PrivateKey += "x" },
		"172": func(a *auth.Credential) {
			a.PublicKey = "CJf+LfjjXPk70z/fsBlK9sHC+kBTTj7gr2g/C/R7YSi3EFTKCmh7Bp5W1UH64D/O"
		},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := *c.GetCredential()
			change(&wrong)
			_, err := ask(t, sdk.NewClient(c.GetConfig(), &wrong), false, "GetUIoTCoreProductList", map[string]any{})
			if e, ok := errors.AsType[uerr.ServerError](err); !ok || (e.Code() != 171) != (name == "172") {
				t.Errorf("got %v, want %s", err, name)
			}
		})
	}
}

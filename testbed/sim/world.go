package main

import (
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// thingModel is what the demo's sensors and meters can do.
//
//go:embed model.json
var thingModel []byte

// account is a device with what it logs in with.
type account struct {
	id     ident.Device
	secret credential.Secret
}

// world is what the demo has in its hub.
type world struct {
	sensors  []account
	gateway  account
	meters   []account // behind the gateway
	hands    []account // for whoever watches to play with
	products map[string]string
	key      string // that the hub signs agents' configurations with, in hex
}

// The demo's products, known by their names.
const (
	sensorProduct  = "Demo sensors"
	gatewayProduct = "Demo gateways"
	meterProduct   = "Demo meters"
)

// settle finds or creates products and devices; it may be called again and again.
func settle(ctx context.Context, api *apiclient.ClientWithResponses, sensors, meters int) (*world, error) {
	w := &world{products: make(map[string]string)}
	var err error
	for _, p := range []struct {
		name  string
		kind  apitype.ProductKind
		model bool
	}{
		{sensorProduct, apitype.ProductKindDevice, true},
		{gatewayProduct, apitype.ProductKindGateway, false},
		{meterProduct, apitype.ProductKindSubdevice, true},
	} {
		if w.products[p.name], err = product(ctx, api, p.name, p.kind, p.model); err != nil {
			return nil, fmt.Errorf("product %q: %w", p.name, err)
		}
	}
	for i := range sensors {
		a, err := deviceOf(ctx, api, w.products[sensorProduct], fmt.Sprintf("sensor-%d", i+1))
		if err != nil {
			return nil, err
		}
		w.sensors = append(w.sensors, a)
	}
	for i := range meters {
		a, err := deviceOf(ctx, api, w.products[meterProduct], fmt.Sprintf("meter-%d", i+1))
		if err != nil {
			return nil, err
		}
		w.meters = append(w.meters, a)
	}
	for i := range 2 {
		a, err := deviceOf(ctx, api, w.products[sensorProduct], fmt.Sprintf("hand-%d", i+1))
		if err != nil {
			return nil, err
		}
		w.hands = append(w.hands, a)
	}
	if w.gateway, err = deviceOf(ctx, api, w.products[gatewayProduct], "gateway-1"); err != nil {
		return nil, err
	}
	w.key, err = configKey(ctx, api)
	return w, err
}

func configKey(ctx context.Context, api *apiclient.ClientWithResponses) (string, error) {
	r, err := api.GetDirectorWithResponse(ctx)
	if err != nil {
		return "", err
	}
	if r.JSON200 == nil {
		return "", fmt.Errorf("the hub's director key: status %d", r.StatusCode())
	}
	key, err := signing.ParsePublicKey([]byte(r.JSON200.PublicKey))
	return hex.EncodeToString(key[:]), err
}

// product returns the ProductSN of the product of this name.
func product(ctx context.Context, api *apiclient.ClientWithResponses, name string, kind apitype.ProductKind, model bool) (string, error) {
	sn, err := findProduct(ctx, api, name)
	if err != nil {
		return "", err
	}
	if sn == "" {
		r, err := api.CreateProductWithResponse(ctx, apitype.NewProduct{Name: name, Kind: kind, Description: "made by make run"})
		if err != nil {
			return "", err
		}
		if r.JSON201 == nil {
			return "", problem(r.HTTPResponse, r.ApplicationProblemJSONDefault)
		}
		sn = r.JSON201.ProductSN
	}
	if !model {
		return sn, nil
	}
	m, err := api.SetThingModelWithResponse(ctx, sn, json.RawMessage(thingModel))
	if err != nil {
		return "", err
	}
	if m.JSON200 == nil {
		return "", problem(m.HTTPResponse, m.ApplicationProblemJSONDefault)
	}
	return sn, nil
}

func findProduct(ctx context.Context, api *apiclient.ClientWithResponses, name string) (string, error) {
	params := &apitype.ListProductsParams{}
	for {
		r, err := api.ListProductsWithResponse(ctx, params)
		if err != nil {
			return "", err
		}
		if r.JSON200 == nil {
			return "", problem(r.HTTPResponse, r.ApplicationProblemJSONDefault)
		}
		for _, p := range r.JSON200.Items {
			if p.Name == name {
				return p.ProductSN, nil
			}
		}
		if r.JSON200.NextCursor == "" {
			return "", nil
		}
		params.Cursor = &r.JSON200.NextCursor
	}
}

func deviceOf(ctx context.Context, api *apiclient.ClientWithResponses, productSN, sn string) (account, error) {
	got, err := api.GetDeviceWithResponse(ctx, productSN, sn)
	if err != nil {
		return account{}, err
	}
	d := got.JSON200
	if d == nil && got.StatusCode() == http.StatusNotFound {
		r, err := api.CreateDeviceWithResponse(ctx, productSN, apitype.NewDevice{DeviceSN: sn, Name: sn})
		if err != nil {
			return account{}, err
		}
		if r.JSON201 == nil {
			return account{}, problem(r.HTTPResponse, r.ApplicationProblemJSONDefault)
		}
		d = r.JSON201
	}
	if d == nil {
		return account{}, problem(got.HTTPResponse, got.ApplicationProblemJSONDefault)
	}
	return account{ident.Device{Product: productSN, SN: sn}, credential.Secret(d.DeviceSecret)}, nil
}

// problem is the error of an answer that was not what was asked for.
func problem(r *http.Response, p *apitype.Problem) error {
	if p != nil {
		return fmt.Errorf("the hub answers %d %s: %s", p.Status, p.Code, p.Detail)
	}
	if r != nil {
		return fmt.Errorf("the hub answers %s", r.Status)
	}
	return errors.New("the hub does not answer")
}

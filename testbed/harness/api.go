package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Credentials are what the API answers for a new device.
type Credentials struct {
	ProductSN    string `json:"productSN"`
	DeviceSN     string `json:"deviceSN"`
	DeviceSecret string `json:"deviceSecret"`
}

// ClientID is the device's MQTT client id.
func (c Credentials) ClientID() string { return c.ProductSN + "." + c.DeviceSN }

// UserName is the device's MQTT user name for a login with its own secret.
func (c Credentials) UserName() string { return c.ProductSN + "|" + c.DeviceSN + "|1" }

// Topic is the device's topic /P/D/<path>.
func (c Credentials) Topic(path string) string {
	return "/" + c.ProductSN + "/" + c.DeviceSN + "/" + path
}

// System is the device's topic /$system/P/D/<path>.
func (c Credentials) System(path string) string { return "/$system" + c.Topic(path) }

// Call sends in as JSON to the hub's API with the owner's key and reads the
// answer into out (nil: thrown away). It is a plain HTTP client on purpose, so
// that tests see what any user's program sees.
func (h *Hub) Call(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, "http://"+h.HTTP+path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+h.Key)
	req.Header.Set("Content-Type", "application/json")
	cl := http.Client{Timeout: time.Minute}
	resp, err := cl.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// Product makes a product from the given fields and returns its serial number.
func (h *Hub) Product(fields map[string]any) string {
	h.env.Helper()
	var p struct {
		ProductSN string `json:"productSN"`
	}
	if err := h.Call("POST", "/v1/products", fields, &p); err != nil {
		h.env.Fatalf("%v", err)
	}
	return p.ProductSN
}

// Devices makes n devices of a product.
func (h *Hub) Devices(product string, n int) []Credentials {
	h.env.Helper()
	var all []Credentials
	for len(all) < n {
		var page struct {
			Items []Credentials `json:"items"`
		}
		in := map[string]any{"count": min(n-len(all), 1000)}
		if err := h.Call("POST", "/v1/products/"+product+"/devices:batch", in, &page); err != nil {
			h.env.Fatalf("%v", err)
		}
		if len(page.Items) == 0 {
			h.env.Fatalf("the hub made no devices")
		}
		all = append(all, page.Items...)
	}
	return all
}

package console

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// gatewayHandlers are: gateway/GATEWAYS/METERS starts the agent as a gateway of the one product, with a sub-device of the other. It takes its
// configuration from the hub, whose director key comes in the body, and believes in it after eight seconds on the line.
func (w *world) gatewayHandlers(mux *http.ServeMux) {
	bin := harness.Binary(w.t, "agent")
	mux.HandleFunc("POST /gateway/{gateways}/{meters}", func(rw http.ResponseWriter, r *http.Request) {
		var in struct{ PublicKey string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		key, err := signing.ParsePublicKey([]byte(in.PublicKey))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		gw, sub := w.hub.Devices(r.PathValue("gateways"), 1)[0], w.hub.Devices(r.PathValue("meters"), 1)[0]
		dir := w.t.TempDir()
		config := filepath.Join(dir, "agent.yaml")
		text := fmt.Sprintf("hub: tcp://%s\nproduct: %s\ndevice: %s\nsecret: %s\ndata: %s/data\nlisten: 127.0.0.1:0\nsubdevices:\n  - {product: %s, device: %s, secret: %s}\n"+
			"remote_config: {keys: [%s], trial: 40s}\nroutes: %s/routes.yaml\n",
			w.hub.MQTT, gw.ProductSN, gw.DeviceSN, gw.DeviceSecret, dir, sub.ProductSN, sub.DeviceSN, sub.DeviceSecret, hex.EncodeToString(key[:]), dir)
		routes := fmt.Sprintf("routes:\n  - name: quiet\n    sql: SELECT * FROM '/%s/+/upload'\n    consume: true\n", sub.ProductSN)
		if err := errors.Join(os.WriteFile(config, []byte(text), 0o600), os.WriteFile(filepath.Join(dir, "routes.yaml"), []byte(routes), 0o600)); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		cmd := exec.Command(bin, "run", "--config", config)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		w.t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		})
	})
}

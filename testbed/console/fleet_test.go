package console

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// fleet is stock devices of one product that take firmware: each begins its download at once, and ends it when it is let go. The third and then
// every tenth one fails.
type fleet struct {
	leave chan struct{} // a device that holds an offer takes one to go on
	ends  []func()
}

// meter is a device of a fleet.
type meter struct {
	harness.Credentials
	client mqtt.Client
	fails  bool
	leave  chan struct{}

	mu      sync.Mutex // guards version
	version string
}

// fleetHandlers are: fleet/PRODUCT/N connects N devices; fleet/go/N lets N of them end their updates; fleet/size is how many there should be.
func (w *world) fleetHandlers(mux *http.ServeMux) {
	f := &fleet{leave: make(chan struct{}, 10_000)}
	w.t.Cleanup(func() {
		for _, end := range f.ends {
			end()
		}
	})
	mux.HandleFunc("GET /fleet/size", func(rw http.ResponseWriter, _ *http.Request) {
		n := "20"
		if os.Getenv("HAWSER_TEST_LONG") != "" {
			n = "1000"
		}
		_, _ = io.WriteString(rw, n)
	})
	mux.HandleFunc("POST /fleet/go/{n}", func(_ http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		for range n {
			f.leave <- struct{}{}
		}
	})
	mux.HandleFunc("POST /fleet/{product}/{n}", func(rw http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		for i, cred := range w.hub.Devices(r.PathValue("product"), n) {
			m := &meter{Credentials: cred, version: "1.0", fails: i%10 == 2, leave: f.leave}
			if err := m.connect("tcp://" + w.hub.MQTT); err != nil {
				http.Error(rw, err.Error(), http.StatusBadGateway)
				return
			}
			f.ends = append(f.ends, func() { m.client.Disconnect(0) })
		}
	})
}

func (m *meter) connect(server string) error {
	m.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(server).SetClientID(m.ClientID()).SetUsername(m.UserName()).SetPassword(m.DeviceSecret).SetStore(harness.NewStore()).
		SetOrderMatters(false).SetMaxReconnectInterval(time.Second).SetOnConnectHandler(func(c mqtt.Client) {
		c.Subscribe(m.System("ota/downstream"), 1, m.take).Wait()
		m.says(message.OTARequestFirmware)
	}))
	if token := m.client.Connect(); !token.WaitTimeout(time.Minute) || token.Error() != nil {
		return fmt.Errorf("connect %s: %w", m.DeviceSN, token.Error())
	}
	return nil
}

// says tells the hub what runs.
func (m *meter) says(method string) {
	m.mu.Lock()
	version := m.version
	m.mu.Unlock()
	send(m, method, message.OTAVersion{Module: "default", Version: version})
}

func send[T any](m *meter, method string, body T) {
	if b, err := message.EncodeOTA(codec.JSON, method, body); err == nil {
		m.client.Publish(m.System("ota/upstream"), 1, false, b)
	}
}

func (m *meter) take(_ mqtt.Client, msg mqtt.Message) {
	method, _ := message.OTAMethod(msg.Payload())
	offer, err := message.DecodeOTA[message.OTAStockOffer](msg.Payload())
	if err != nil || method != message.OTAUpdateFirmware {
		return
	}
	m.mu.Lock()
	fresh := offer.Version != m.version
	m.mu.Unlock()
	if !fresh {
		return
	}
	send(m, message.OTAReportProgress, message.OTAStockProgress{Module: "default", State: "downloading", Percent: 50})
	<-m.leave
	if m.fails {
		send(m, message.OTAReportFail, message.OTAStockFail{Module: "default", ErrCode: -4})
		return
	}
	m.mu.Lock()
	m.version = offer.Version
	m.mu.Unlock()
	m.says(message.OTAReportSuccess)
}

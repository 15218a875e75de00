package scenario

import (
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// updater is a stock device that installs what it is offered, over all ends of its connection.
type updater struct {
	cred   harness.Credentials
	client mqtt.Client

	mu       sync.Mutex // guards the fields below
	version  string
	offers   int
	installs int
	broken   map[string]int             // how often a version is still to fail
	held     map[string]bool            // versions whose download takes until it is called off
	loading  map[string][]chan struct{} // downloads of such, each closed when it is called off
}

func startUpdater(t *testing.T, hub *harness.Hub, cred harness.Credentials) *updater {
	t.Helper()
	u := &updater{cred: cred, version: "1.0", broken: map[string]int{}, held: map[string]bool{}, loading: map[string][]chan struct{}{}}
	u.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(cred.ClientID()).SetUsername(cred.UserName()).
		SetPassword(cred.DeviceSecret).SetStore(harness.NewStore()).SetOrderMatters(false).SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).
		SetMaxReconnectInterval(200 * time.Millisecond).SetOnConnectHandler(func(c mqtt.Client) {
		c.Subscribe(cred.System("ota/downstream"), 1, u.take).Wait()
		u.mu.Lock()
		version := u.version
		u.mu.Unlock()
		u.say(message.OTARequestFirmware, message.OTAVersion{Module: "default", Version: version})
	}))
	if token := u.client.Connect(); !token.WaitTimeout(time.Minute) || token.Error() != nil {
		t.Fatalf("device %s: %v", cred.DeviceSN, token.Error())
	}
	t.Cleanup(func() { u.client.Disconnect(0) })
	return u
}

// say sends a message. What a connection loses, the next one says.
func (u *updater) say(method string, payload any) {
	if b, err := message.EncodeOTA(codec.JSON, method, payload); err == nil {
		u.client.Publish(u.cred.System("ota/upstream"), 1, false, b)
	}
}

func (u *updater) take(_ mqtt.Client, m mqtt.Message) {
	method, _ := message.OTAMethod(m.Payload())
	switch method {
	case message.OTAUpdateFirmware:
		if o, err := message.DecodeOTA[message.OTAStockOffer](m.Payload()); err == nil {
			u.install(o.Version)
		}
	case message.OTACancelUpdate:
		if c, err := message.DecodeOTA[message.OTACancel](m.Payload()); err == nil {
			u.mu.Lock()
			for _, off := range u.loading[c.Version] {
				close(off)
			}
			delete(u.loading, c.Version)
			u.mu.Unlock()
		}
	}
}

// install downloads a version and runs it, unless it is broken or called off.
func (u *updater) install(version string) {
	u.mu.Lock()
	u.offers++
	fresh, broken := version != u.version, u.broken[version] > 0
	if broken {
		u.broken[version]--
	}
	// The word that calls an offer off may be heard before the offer: this download then goes on until the hub hears of it, and says so once more.
	var off chan struct{}
	if fresh && u.held[version] {
		off = make(chan struct{})
		u.loading[version] = append(u.loading[version], off)
	}
	u.mu.Unlock()
	if !fresh {
		return
	}
	loads := message.OTAStockProgress{Module: "default", State: "downloading", Percent: 50}
	u.say(message.OTAReportProgress, loads)
	for off != nil {
		select {
		case <-off:
			return
		case <-time.After(100 * time.Millisecond):
			u.say(message.OTAReportProgress, loads)
		}
	}
	<-time.After(50 * time.Millisecond) // a download takes some time
	if broken {
		u.say(message.OTAReportFail, message.OTAStockFail{Module: "default", ErrCode: -5})
		return
	}
	u.mu.Lock()
	if u.version != version {
		u.installs++
	}
	u.version = version
	u.mu.Unlock()
	u.say(message.OTAReportSuccess, message.OTAVersion{Module: "default", Version: version})
}

func (u *updater) count() (offers, installs int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.offers, u.installs
}

// set has a version fail so many times, or be downloaded until it is called off.
func (u *updater) set(version string, broken int, held bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.broken[version], u.held[version] = broken, held
}

// loads tells whether a version is being downloaded that was not called off yet.
func (u *updater) loads(version string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.loading[version]) > 0
}

// runs is what the device runs.
func (u *updater) runs() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.version
}

package topic

import (
	"testing"

	"github.com/hawser-iot/hawser/protocol/ident"
)

func TestDeviceOf(t *testing.T) {
	dev := ident.Device{Product: "70ly1tvowt696r15", SN: "cellar-1"}
	for _, name := range []string{System(dev, ShadowGet), Name(dev, "a/b"), "/$system/70ly1tvowt696r15/cellar-1/#", "/70ly1tvowt696r15/cellar-1/+"} {
		if got, ok := DeviceOf(name); !ok || got != dev {
			t.Errorf("DeviceOf(%q) = %v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "/", "#", "/#", "/$system/#", "/70ly1tvowt696r15/+/a", "/+/cellar-1/a", "/70ly1tvowt696r15/$broadcast/a", "/70ly1tvowt696r15/cellar-1"} {
		if got, ok := DeviceOf(name); ok {
			t.Errorf("DeviceOf(%q) = %v", name, got)
		}
	}
}

func TestOverDevices(t *testing.T) {
	for filter, want := range map[string]bool{
		"/#": true, "/+/#": true, "/+/+/set": true, "/$system/#": true, "/$system/+/+/#": true, "/$system/70ly1tvowt696r15/+/tmodel/#": true,
		"/70ly1tvowt696r15/+/set": true, "/70ly1tvowt696r15/#": true,
		"#": false, "+/#": false, "/+": false, "/70ly1tvowt696r15/cellar-1/#": false, "/70ly1tvowt696r15/+": false, "/short/+/set": false,
		"/70ly1tvowt696r15/$broadcast/#": false, "/+/a#/b": false, "": false,
	} {
		if got := OverDevices(filter); got != want {
			t.Errorf("OverDevices(%q) = %v", filter, got)
		}
	}
	if p, ok := BroadcastProduct("/70ly1tvowt696r15/$broadcast/all"); !ok || p != "70ly1tvowt696r15" {
		t.Errorf("BroadcastProduct: %q, %v", p, ok)
	}
}

package update_test

import (
	"bytes"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// TestPlainImagesOfSeveralModules: how much of one is on the medium says nothing of the next, whenever the power is cut.
func TestPlainImagesOfSeveralModules(t *testing.T) {
	hub, authority := devicetest.New(t), newAuthority(t)
	old, next := map[string][]byte{}, map[string][]byte{}
	total := 0
	for i, name := range []string{"default", "modem", "radio", "sensor"} {
		old[name] = imagetest.Stream("old "+name, 20_000)
		next[name] = imagetest.Stream("new "+name, 50_000-9_000*i)
		total += len(next[name])
	}
	module := update.Module{Vendor: devicetest.TestVendor, Class: devicetest.TestClass, Version: "1.0"}
	cut := func(at int) (ops int) {
		b, err := devicetest.NewBoard(slotSize, old)
		if err != nil {
			t.Fatal(err)
		}
		r := newRigWith(t, hub, authority, b)
		r.change = func(c *update.Config) {
			c.Modules = map[string]update.Module{}
			for name := range old {
				c.Modules[name] = module
				b.Bootable(next[name])
			}
		}
		number := r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Images: next, Plain: true})})
		ops = r.cutAt(number, at, attested, next["default"])
		for name, want := range next {
			if !bytes.HasPrefix(b.Slot(b.Running(), name), want) {
				t.Errorf("cut at %d: module %s holds another image", at, name)
			}
		}
		if n, most := hub.FirmwareUpdate(number).Last.Bytes, int64(total+20_000); at == 0 && n > most {
			t.Errorf("%d bytes downloaded, want at most %d", n, most)
		}
		return ops
	}
	ops := cut(0)
	for at := 1; at <= ops && !t.Failed(); at += 5 {
		cut(at)
	}
}

package update_test

import (
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// A device with two slots in a folder. device-sdk/examples/appliance is the same with flags and a self-test.
func Example() {
	ctx, restart := context.WithCancel(context.Background())
	slots, err := update.OpenFolder("/var/lib/thermo", restart)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := slots.Start(); err != nil {
		log.Fatal(err)
	}
	root, err := os.ReadFile("/usr/share/thermo/root.1")
	if err != nil {
		log.Fatal(err)
	}
	dev, err := device.New(device.Config{
		Server: "tls://hub.example:8883", Product: "xg8bmk2p0vw4q1zt", SN: "thermo-1", Secret: "0123456789abcdef",
		SignedFirmware: true, Persistent: true,
	}, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	vendor := manifest.VendorID("example.com")
	up, err := update.New(update.Config{
		Device: dev.Identity().ClientID(), Secret: "0123456789abcdef", Root: root,
		Modules: map[string]update.Module{"default": {Vendor: vendor, Class: manifest.ClassID(vendor, "thermo-2"), Version: "1.0"}},
		Link:    dev.Firmware(), Store: slots, Storage: slots, Installer: slots,
	}, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := up.Run(ctx); err != nil {
			log.Print(err)
		}
	}()
	if err := dev.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Here the program ends, and is started again into the new slot.
}

// Package update is what a device does to take new firmware: it verifies, downloads, stages, starts it on trial, and goes back when it is not well.
//
// # What a device's program has to bring
//
//   - Storage: where the image of each module is that runs now, and where the next one goes.
//   - Installer: the boot loader's switch between the two.
//   - Store: a few small records that survive a power cut; Files is one.
//   - the root document that the device was shipped with, and who it is (manifest.Device).
//
// With these, New makes an Updater, and Run does the rest over the device's own connection:
//
//	dev, err := device.New(device.Config{…, SignedFirmware: true}, log)
//	up, err := update.New(update.Config{
//		Device: "xg8bmk2p0vw4q1zt.pump-17", Secret: secret, Root: shippedRoot,
//		Modules: map[string]update.Module{"default": {Vendor: vendor, Class: class, Version: "1.0"}},
//		Link: dev.Firmware(), Store: store, Storage: slots, Installer: boot,
//	}, log)
//	go dev.Run(ctx)
//	err = up.Run(ctx)
//
// # The way of an update
//
//	offer ──> manifest, verified ──> question with a nonce ──> assignment, verified ──> waiting for window, consent, power and room
//	  ──> staging: base + delta, the full pack for the rest ──> read back ──> armed ──> restart ──> trial ──> confirmed ──> attested
//	                                                                                              └──> reverting ──> rolled back
//
// Each step is written down before the next one begins, and each may be done twice: after a power cut at any moment Run goes on where it was.
// Nothing is armed before all images of the release were read back and have the digests of the manifest. The floor against old releases
// rises only after a confirmed trial.
//
// # What it promises
//
// No byte of an image is made bootable that enough release keys have not signed and that the hub's director has not assigned to this device with
// this device's own nonce, but for what Rollback goes back to: that has run before, and is held to its own record, keys and floors. Reading a hostile server costs a bounded amount of memory and time: everything has a size before it is read, and a
// server that is slower than Config.MinRate is left for the next one. Every refusal has a class of firmware/failure, which the hub is told.
//
// It leaves to others what signatures mean (firmware/signing), how an image is made of chunks (firmware/delta), and the boot loader
// (Installer; edge-agent/slot has drivers).
package update

// Package boot starts a real machine with a real boot loader: Debian's U-Boot and arm64 kernel under qemu, two slots of which boot.cmd starts one, and
// the agent in an initial RAM file system, so that an update, a build that panics and a power cut are what they are on a gateway.
//
// testbed/setup/install.sh fetches U-Boot, qemu and the kernel.
package boot

#!/bin/sh
# Installs what the tests need beside Go: a PostgreSQL and an InfluxDB to start,
# mosquitto and its clients as peers, MQTT clients for Node and Python, a browser, a Modbus server, other processors (qemu), an SSH server to provision over and the shell of small devices, the peers of delta packs, and a machine with a
# boot loader. Does nothing when all is there.
set -eu
cd "$(dirname "$0")/../.."

need=""
have() { command -v "$1" >/dev/null 2>&1; }
/usr/bin/python3 -c 'import pymodbus.server, serial, serial_asyncio' 2>/dev/null || need="$need python3-pymodbus python3-serial python3-serial-asyncio"
have mosquitto_pub || need="$need mosquitto-clients"
have mosquitto || [ -x /usr/sbin/mosquitto ] || need="$need mosquitto"
have mariadbd || [ -x /usr/sbin/mariadbd ] || need="$need mariadb-server"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need="$need postgresql"
have kcat || need="$need kcat"
have influxd || need="$need influxdb"
have victoria-metrics || need="$need victoria-metrics"
have nginx || [ -x /usr/sbin/nginx ] || need="$need nginx-light"
have node || need="$need nodejs npm"
have chromium || need="$need chromium"
ls /usr/share/fonts/truetype/wqy/*.ttc >/dev/null 2>&1 || need="$need fonts-wqy-zenhei"
have qemu-mipsel-static || need="$need qemu-user-static"
have busybox || need="$need busybox"
have sshd || [ -x /usr/sbin/sshd ] || need="$need openssh-server"
have mkenvimage || need="$need u-boot-tools"
have fw_printenv || need="$need libubootenv-tool"
have grub-editenv || need="$need grub-common"
have qemu-system-aarch64 || need="$need qemu-system-arm"
[ -f /usr/lib/u-boot/qemu_arm64/u-boot.bin ] || need="$need u-boot-qemu"
have zstd || need="$need zstd"
have xdelta3 || need="$need xdelta3"
have bsdiff || need="$need bsdiff"
have mksquashfs || need="$need squashfs-tools"
[ -x /usr/bin/time ] || need="$need time"
/usr/bin/python3 -c "import paho.mqtt.client" 2>/dev/null || need="$need python3-paho-mqtt"

if [ -n "$need" ]; then
	if ! have apt-get; then
		echo "missing:$need — install them with your system's package manager" >&2
		exit 1
	fi
	sudo=""
	[ "$(id -u)" = 0 ] || sudo=sudo
	echo "installing$need"
	$sudo apt-get update -qq
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $need >/dev/null
fi

if [ ! -d testbed/interop/node/node_modules/mqtt ] && [ -f testbed/interop/node/package.json ]; then
	(cd testbed/interop/node && npm ci --silent --no-audit --no-fund)
fi
if [ ! -d testbed/console/node_modules/playwright-core ]; then
	(cd testbed/console && npm ci --silent --no-audit --no-fund)
fi

testbed/setup/kernel.sh

# An S3 service, which no distribution has. It is run beside the tests and linked into nothing.
bin="${XDG_CACHE_HOME:-$HOME/.cache}/hawser/bin"
[ -x "$bin/versitygw" ] || GOBIN="$bin" GOFLAGS= go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

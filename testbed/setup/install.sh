#!/bin/sh
# Installs what the tests need beside Go: a PostgreSQL to start, mosquitto and
# its clients as peers, and MQTT clients for Node and Python. Does nothing when
# all is there.
set -eu
cd "$(dirname "$0")/../.."

need=""
have() { command -v "$1" >/dev/null 2>&1; }
have mosquitto_pub || need="$need mosquitto-clients"
have mosquitto || [ -x /usr/sbin/mosquitto ] || need="$need mosquitto"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need="$need postgresql"
have node || need="$need nodejs npm"
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

#!/bin/sh
# Fetches Debian's arm64 kernel for the machine that testbed/boot starts, with the modules that it loads, into the user's cache: 60 MB to download, 37
# to keep. The system's own list of packages is not touched. Does nothing when it is there.
set -eu
dir="${XDG_CACHE_HOME:-$HOME/.cache}/hawser/arm64-kernel"
ls "$dir"/boot/vmlinuz-* >/dev/null 2>&1 && exit 0
command -v apt-get >/dev/null 2>&1 || { echo "missing: an arm64 kernel in $dir; this script needs apt-get" >&2; exit 1; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial" "$tmp/root"
o="-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::Lists=$tmp/lists -o Dir::Cache=$tmp/cache -o APT::Sandbox::User=root"
apt-get $o update
name=$(apt-cache $o depends linux-image-arm64 | sed -n 's/ *Depends: \(linux-image-.*\)/\1/p' | head -1)
echo "fetching $name"
(cd "$tmp" && apt-get $o download "$name" >/dev/null)
dpkg-deb --fsys-tarfile "$tmp/$name"_*.deb | tar -x -C "$tmp/root" --wildcards './boot/vmlinuz-*' '*/drivers/virtio/*' '*/virtio_blk.ko' '*/virtio_net.ko' \
	'*failover.ko' '*/fs/ext4/*' '*/fs/jbd2/*' '*/mbcache.ko' '*/crc16.ko' '*/crc32c_generic.ko' '*/i6300esb.ko'
mkdir -p "$(dirname "$dir")"
rm -rf "$dir"
mv "$tmp/root" "$dir"

#!/usr/bin/env bash
# All tests: test.sh RERUN FLAGS-OF-GO-TEST…
# A test that failed is run RERUN times more by itself; the last lines then speak of several runs and show the first failure, which is a bug to be
# mended. Neither many failures nor a data race are run again. Of a process that died, what was to come in it has not run: its package is run whole.
set -euo pipefail
cd "$(dirname "$0")/../.."
rerun=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bin/tools/gotestsum --format pkgname-and-test-fails --hide-summary skipped --rerun-fails="$rerun" --rerun-fails-max-failures 6 \
	--rerun-fails-run-root-test --rerun-fails-abort-on-data-race --packages ./... -- "$@" 2>&1 | tee "$log"
died=$(sed -n 's/^=== FAIL: \([^ ]*\) .* (unknown)$/.\/\1/p' "$log" | sort -u)
if [ -n "$died" ]; then
	echo "whole, because its process died:" $died
	go test "$@" $died
fi

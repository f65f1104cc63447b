#!/bin/sh
# SPDX-License-Identifier: MIT
# demo_made.sh TWOSTEP JSON_LEAVES
# Without a file the demo makes one of 64 MiB, and leaves nothing, also when interrupted.
set -u
twostep=$1
leaves=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/tmp"
status=0

wrong() {
	echo "$*"
	status=1
}

TMPDIR=$dir/tmp "$twostep" demo --json >"$dir/json" || wrong "exit code $?"
"$leaves" <"$dir/json" >"$dir/leaves" || wrong "no JSON"
for line in .file_bytes=67108864 .sha256_ok=true .faults=0 .leaks=0; do
	grep -qxF "$line" "$dir/leaves" || wrong "no $line"
done
[ -z "$(ls -A "$dir/tmp")" ] || wrong "left behind: $(ls -A "$dir/tmp")"

for delay in 0.01 0.05 0.1; do
	TMPDIR=$dir/tmp timeout -s INT $delay "$twostep" demo >/dev/null 2>&1
	[ -z "$(ls -A "$dir/tmp")" ] || wrong "interrupted after $delay s: $(ls -A "$dir/tmp")"
done

# A directory that cannot be written to is no hindrance.
TMPDIR=$dir/none "$twostep" demo >/dev/null 2>"$dir/err" ||
	wrong "without TMPDIR: $(cat "$dir/err")"
exit $status

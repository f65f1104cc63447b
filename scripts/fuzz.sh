#!/bin/sh
# SPDX-License-Identifier: MIT
# fuzz.sh SECONDS
# Build the fuzz targets with clang and run each for SECONDS. What they learn is kept in
# build-sanitize/fuzz/corpus/, what makes one fail in build-sanitize/fuzz/failures/.
set -eu

seconds=$1
dir=build-sanitize/fuzz
if [ ! -e $dir/build.ninja ]; then
	CC=clang meson setup $dir -Dfuzz=true -Dtools=disabled -Dtests=disabled \
		-Db_sanitize=address,undefined -Db_lundef=false -Dwerror="${WERROR:-false}" \
		-Dc_args='-fsanitize=fuzzer-no-link -fno-sanitize-recover=all -fno-omit-frame-pointer'
fi
ninja -C $dir

wrapper="setarch $(uname -m) -R"
$wrapper true 2>/dev/null || wrapper=

failed=
for target in "$dir"/tests/fuzz/fuzz-*; do
	if [ ! -f "$target" ] || [ ! -x "$target" ]; then
		continue
	fi
	name=${target##*/fuzz-}
	mkdir -p "$dir/corpus/$name" "$dir/failures"
	echo "== $name, $seconds s"
	# A seed corpus, if the target has one, comes after the directory that grows.
	seeds=
	[ ! -d "tests/fuzz/$name.seeds" ] || seeds=tests/fuzz/$name.seeds
	# shellcheck disable=SC2086  # two words, or none
	$wrapper "$target" -max_total_time="$seconds" -timeout=20 -print_final_stats=1 \
		-verbosity=0 -artifact_prefix="$dir/failures/$name-" "$dir/corpus/$name" $seeds ||
		failed="$failed $name"
done
[ -z "$failed" ] || {
	echo "failed:$failed; the inputs are in $dir/failures/" >&2
	exit 1
}

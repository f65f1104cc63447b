#!/bin/sh
# SPDX-License-Identifier: MIT
# sanitize.sh [NAME...]
# Build into build-sanitize/NAME/ and run all tests there; without a name, in each of them.
set -eu

[ $# -gt 0 ] || set -- asan-gcc tsan-gcc asan-clang tsan-clang

# Sanitizers keep shadow memory at fixed addresses, which a randomised layout may occupy.
wrapper="setarch $(uname -m) -R"
$wrapper true 2>/dev/null || wrapper="env"

export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

failed=
for name in "$@"; do
	case $name in
	asan-*) sanitizers=address,undefined flags= ;;
	# gcc warns of every fence, which this sanitizer does not model. Those that there are only
	# order a store before a load; what they protect synchronises by acquire and release.
	tsan-gcc) sanitizers=thread flags=-Wno-tsan ;;
	tsan-*) sanitizers=thread flags= ;;
	*)
		echo "no such sanitizer build: $name (asan-gcc, tsan-gcc, asan-clang, tsan-clang)" >&2
		exit 2
		;;
	esac
	dir=build-sanitize/$name
	echo "== $name"
	if [ ! -e "$dir/build.ninja" ]; then
		CC=${name#*-} meson setup "$dir" -Db_sanitize=$sanitizers -Db_lundef=false \
			-Dtools=enabled -Dtests=enabled -Dwerror="${WERROR:-false}" \
			-Dc_args="-fno-sanitize-recover=all -fno-omit-frame-pointer $flags"
	fi
	meson test -C "$dir" --wrapper "$wrapper" --print-errorlogs --timeout-multiplier 5 ||
		failed="$failed $name"
done
[ -z "$failed" ] || {
	echo "failed:$failed" >&2
	exit 1
}

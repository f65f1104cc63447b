#!/bin/sh
# SPDX-License-Identifier: MIT
# demo_refused.sh TWOSTEP
# What the demo cannot run is refused with exit code 1 and one sentence that names it.
set -u
twostep=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0
mkfifo "$dir/pipe"
echo content >"$dir/file"

# refused WORDS ARGUMENT...
refused() {
	words=$1
	shift
	"$twostep" demo "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	if [ $got != 1 ] || [ -s "$dir/out" ] || [ "$(wc -l <"$dir/err")" != 1 ] ||
		! grep -qF "$words" "$dir/err"; then
		echo "demo $*: exit code $got, prints $(cat "$dir/out"), says $(cat "$dir/err")"
		status=1
	fi
}

refused "'$dir/none'" "$dir/none"
refused "''" ''
refused "'$dir' cannot be read" "$dir"
refused "'$dir/pipe' cannot be read" "$dir/pipe"
refused "'/dev/null' cannot be read" /dev/null
refused "'nonsense:'" --device nonsense: "$dir/file"
refused "'soft:nonsense'" --device soft:nonsense "$dir/file"
refused "'soft:' as a copy engine" --device soft: "$dir/file"
refused "''" --device '' "$dir/file"
exit $status

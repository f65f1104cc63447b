#!/bin/sh
# SPDX-License-Identifier: MIT
# reference.sh INCLUDE-DIR OUTPUT-DIR COMPILER...
# Write the API reference, one Markdown file a public header; fail if a public function has no
# comment of its own.
set -eu

include=$1 output=$2
shift 2
here=$(dirname "$0")
mkdir -p "$output"

{
	echo "# twostep: reference"
	echo
	echo "Generated from the comments in the public headers."
} >"$output/README.md"

for header in "$include"/twostep/*.h; do
	name=$(basename "$header" .h)
	awk -f "$here/kernel-doc.awk" "$header" >"$output/$name.md"
	{
		echo
		echo "## [<twostep/$name.h>]($name.md)"
		echo
		sed -n 's/^## \(.*\)/- \1/p' "$output/$name.md"
	} >>"$output/README.md"
done

"$here/public-functions.sh" "$include" "$@" >"$output/.declared"
sed -n 's/^## //p' "$output"/*.md | sort -u >"$output/.told"
untold=$(comm -23 "$output/.declared" "$output/.told")
rm "$output/.declared" "$output/.told"
if [ -n "$untold" ]; then
	echo "public functions without a kernel-doc comment:" "$untold" >&2
	exit 1
fi

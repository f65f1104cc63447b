#!/bin/sh
# SPDX-License-Identifier: MIT
# exports.sh SOURCE-ROOT SHARED-LIBRARY ARCHIVE COMPILER...
# Both libraries export the functions of the public headers, all of them and nothing else, and
# the shared one needs only the libraries that it may need.
set -eu

root=$1 shared=$2 archive=$3
shift 3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

"$root/scripts/public-functions.sh" "$root/include" "$@" >"$scratch/declared"
[ -s "$scratch/declared" ]

if grep -vE '^((dma|ts|hmm_dma|blk_rq_dma|pcim?_p2pdma|pci_p2pmem)_|pci_(alloc|free|has)_p2pmem$)' "$scratch/declared"; then
	echo "^ declared in a public header under a name that is not the library's"
	status=1
fi

nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	sort -u >"$scratch/shared"
nm -g --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort -u >"$scratch/archive"

for library in shared archive; do
	if ! diff "$scratch/declared" "$scratch/$library" >"$scratch/diff"; then
		echo "$library library (< declared and not exported, > exported and not declared):"
		grep '^[<>]' "$scratch/diff"
		status=1
	fi
done

if readelf -d "$shared" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
	grep -vE '^(libc|ld-linux.*|liburcu-(bp|common)|libpthread)\.so'; then
	echo "^ a library that the shared library must not need"
	status=1
fi
readelf -d "$shared" | grep -q 'SONAME.*\[libtwostep\.so\.0\]' || {
	echo "the shared library's name is not libtwostep.so.0"
	status=1
}
readelf -d "$shared" | grep -q TEXTREL && {
	echo "the shared library has text relocations"
	status=1
}
exit $status

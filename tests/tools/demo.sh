#!/bin/sh
# SPDX-License-Identifier: MIT
# demo.sh TWOSTEP JSON_LEAVES
# Files of any length come out as they went in, and the figures are those of the mode.
set -u
twostep=$1
leaves=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0

wrong() {
	echo "$*"
	status=1
}

# has LINE: the JSON text of the last demo has this leaf.
has() {
	grep -qxF -- "$1" "$dir/leaves" || wrong "$what: no $1 but $(grep -F "${1%%=*}=" "$dir/leaves")"
}

# value PATH: a number in it.
value() {
	sed -n "s/^$1=//p" "$dir/leaves"
}

# demo ARGUMENT...: must be done, say nothing and print JSON with a good result.
demo() {
	what="demo $*"
	"$twostep" demo --json "$@" >"$dir/json" 2>"$dir/err" || wrong "$what: exit code $?"
	[ -s "$dir/err" ] && wrong "$what: says $(cat "$dir/err")"
	"$leaves" <"$dir/json" >"$dir/leaves" || wrong "$what: no JSON"
	has .sha256_ok=true
	has .faults=0
	has .leaks=0
	has '.modes[0].name="per-page"'
	has '.modes[1].name="link"'
	has '.modes[2].name="vec"'
	for mode in 0 1 2; do
		has ".modes[$mode].sha256_ok=true"
	done
	grep -q '^\.modes\[3\]' "$dir/leaves" && wrong "$what: more than three modes"
}

yes 'a line that makes a page of no period' | head -c 3145745 >"$dir/pattern"
for bytes in 0 1 4095 4096 4097 1048576 1048577 3145745; do
	head -c $bytes "$dir/pattern" >"$dir/file"
	demo "$dir/file"
	has ".file_bytes=$bytes"
	has ".sha256=\"$(sha256sum <"$dir/file" | cut -d' ' -f1)\""
	requests=$(((bytes + 1048575) / 1048576))
	pages=$((2 * ((bytes + 4095) / 4096)))
	for mode in 0 1 2; do
		has ".modes[$mode].requests=$requests"
		has ".modes[$mode].pages=$pages"
		has ".modes[$mode].fell_back=false"
		[ "$(value ".modes\[$mode\].pte_writes")" -ge $((2 * pages)) ] ||
			wrong "$what: fewer entries written than pages linked and unlinked"
	done
	has ".modes[0].iova_allocs=$pages"
	has ".modes[0].iotlb_invalidations=$pages"
	for mode in 1 2; do
		has ".modes[$mode].iova_allocs=$((2 * requests))"
		has ".modes[$mode].iotlb_invalidations=$((2 * requests))"
	done
	if [ $pages -ge 512 ]; then
		for mode in 1 2; do
			[ "$(value ".modes\[$mode\].metadata_bytes")" -lt \
				"$(value '.modes\[0\].metadata_bytes')" ] ||
				wrong "$what: two-step mapping keeps no less than one map a page"
		done
	fi
done

demo --device soft:copy,pgtable=x86-64 "$dir/file"
has '.pgtable="x86-64"'
has '.device="soft:copy,pgtable=x86-64"'
demo --device=soft:copy -- "$dir/file"
has '.pgtable="vtd-ss"'

# Where nothing translates, the two-step modes fall back and say so.
demo --device direct:copy "$dir/file"
has '.modes[0].fell_back=false'
has '.modes[1].fell_back=true'
has '.modes[2].fell_back=true'
has '.modes[1].iova_allocs=0'
"$twostep" demo --device direct:copy "$dir/file" >"$dir/out" 2>&1 || wrong "direct: exit code $?"
for mode in link vec; do
	grep -q "^$mode: .*fell back" "$dir/out" || wrong "direct: $mode does not say that it fell back"
done
grep -q '^per-page: .*fell back' "$dir/out" && wrong "direct: per-page says that it fell back"

# Devices that have copies of the memory, or buffers instead of it, see the same bytes.
for device in soft:copy,coherent=off soft:copy,untrusted soft:copy,bounce=force \
	soft:copy,untrusted,coherent=off soft:copy,coherent=off,bounce=force; do
	demo --device "$device" "$dir/file"
	has '.modes[2].fell_back=false'
done
for device in direct:copy,bounce=force direct:copy,mask=32; do
	demo --device "$device" "$dir/file"
	has '.modes[2].fell_back=true'
done

# The table: a line a mode.
"$twostep" demo "$dir/file" --verbose >"$dir/out" 2>&1 || wrong "demo --verbose: exit code $?"
for mode in per-page link vec; do
	grep -q "^$mode  *[0-9].* same\$" "$dir/out" || wrong "no line for $mode in the table"
	grep -q "^$mode: 4 requests" "$dir/out" || wrong "--verbose tells nothing about $mode"
done
exit $status

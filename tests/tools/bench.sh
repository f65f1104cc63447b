#!/bin/sh
# SPDX-License-Identifier: MIT
# bench.sh TWOSTEP JSON_LEAVES
# The benchmark measures each figure and prints it in its JSON form. No time is judged.
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

bench() {
	"$twostep" bench --short --json "$@" >"$dir/json" 2>"$dir/err" ||
		wrong "bench $*: exit code $?: $(cat "$dir/err")"
	"$leaves" <"$dir/json" >"$dir/leaves" || wrong "bench $*: no JSON"
}

bench
for field in .machine.cpu .machine.cores .machine.kernel .machine.compiler .machine.build \
	.commit; do
	grep -q "^$field=" "$dir/leaves" || wrong "no $field"
done
for field in name unit value per_page limit ratio runs min max; do
	grep -q "^\.results\[0\]\.$field=" "$dir/leaves" || wrong "no $field in a result"
done
names="raw_scalar clear_256 empty_call unrelated_iotlb_hit_rate checked_map_unmap_4k
	checked_link_page_256 checked_transaction_256 bounce_map_unmap_4k
	bounce_map_unmap_4k_2threads premap_translate_1k premap_translate_64k
	premap_translate_1m premap_map_1k lazy_map_unmap_4k map_sg_256"
for figure in link_vec_256 link_page_256 destroy_256 transaction_1 transaction_16 transaction_256 \
	transaction_512 map_unmap_4k iova_alloc_free_1 sg_transaction_256; do
	for variant in '' _busy _gather32 _busy_gather32; do
		names="$names $figure$variant"
	done
done
for name in $names; do
	[ "$(grep -cE "^\.results\[[0-9]+\]\.name=\"$name\"\$" "$dir/leaves")" = 1 ] ||
		wrong "$name is not there once"
done
[ "$(grep -c '\.runs=9$' "$dir/leaves")" = "$(grep -c '^\.results.*\.name=' "$dir/leaves")" ] ||
	wrong "not nine runs of each figure"
grep -E '\.(value|min|max)=(0$|-|null)' "$dir/leaves" && wrong "a figure that is no figure"

bench --filter map_unmap --runs 11
[ "$(grep -c '^\.results.*\.name=' "$dir/leaves")" = 8 ] || wrong "--filter lets other figures in"
[ "$(grep -c '\.runs=11$' "$dir/leaves")" = 8 ] || wrong "--runs is not heeded"
grep -q '\.limit_name="raw_scalar"$' "$dir/leaves" || wrong "the limit is not named"

# Without translation there is nothing to link, and that is said.
bench --device direct:
grep -q '^\.results.*\.name="map_unmap_4k"$' "$dir/leaves" || wrong "direct: no map_unmap_4k"
grep -q '^\.skipped.*\.name="link_vec_256"$' "$dir/leaves" ||
	wrong "direct: link_vec_256 not skipped"
"$twostep" bench --short --device direct: --filter 256 >"$dir/out" || wrong "direct: exit code $?"
grep -q '^link_vec_256 .*not measured' "$dir/out" || wrong "direct: the table does not say so"

"$twostep" bench --device nonsense: >"$dir/out" 2>"$dir/err"
[ $? = 1 ] || wrong "a device that does not exist is no failure"
grep -q "'nonsense:'" "$dir/err" || wrong "the device that does not exist is not named"
exit $status

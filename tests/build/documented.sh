#!/bin/sh
# SPDX-License-Identifier: MIT
# documented.sh SOURCE-ROOT COMPILER...
# Every public function has a kernel-doc comment, and the reference is refused without one.
set -eu

root=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$root/scripts/reference.sh" "$root/include" "$scratch/docs" "$@"
for header in "$root"/include/twostep/*.h; do
	[ -s "$scratch/docs/$(basename "$header" .h).md" ]
done

cp -r "$root/include" "$scratch/include"
cat >"$scratch/include/twostep/undocumented.h" <<END
/** dma_told - a function with a comment; 0 */
int dma_told(void);
int dma_untold(struct dma_dev *dev);
END
if "$root/scripts/reference.sh" "$scratch/include" "$scratch/docs" "$@" 2>"$scratch/said"; then
	echo "a header with a function that is not documented was accepted"
	exit 1
fi
grep -q 'dma_untold' "$scratch/said"
if grep -q 'dma_told' "$scratch/said"; then
	echo "a function with a comment was refused"
	exit 1
fi
grep -q '^## dma_told' "$scratch/docs/undocumented.md"

#!/bin/sh
# SPDX-License-Identifier: MIT
# prelink.sh ARCHIVE COMPILER... -- OBJECT...
# Join the objects into one, make its hidden symbols local, and archive it.
set -eu

archive=$1
shift
compiler=
while [ "$1" != -- ]; do
	compiler="$compiler $1"
	shift
done
shift

joined=$archive.o
# shellcheck disable=SC2086  # a compiler may be several words
$compiler -r -nostdlib -o "$joined" "$@"
"${OBJCOPY:-objcopy}" --localize-hidden "$joined"
rm -f "$archive"
"${AR:-ar}" rcs "$archive" "$joined"
rm -f "$joined"

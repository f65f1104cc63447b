#!/bin/sh
# SPDX-License-Identifier: MIT
# word_size.sh SOURCE-ROOT COMPILER...
# A machine of 32 bits is refused with a sentence, and not with errors all over the sources.
set -eu

root=$1
shift
for size in POINTER LONG; do
	if said=$(echo '#include "base/base.h"' |
		LC_ALL=C "$@" -fsyntax-only -I"$root/src" \
			"-U__SIZEOF_${size}__" "-D__SIZEOF_${size}__=4" -xc - 2>&1); then
		echo "4 bytes in __SIZEOF_${size}__ are accepted"
		exit 1
	fi
	case $said in
	*"twostep needs a 64-bit machine"*) ;;
	*)
		echo "$said"
		exit 1
		;;
	esac
done
echo '#include "base/base.h"' | "$@" -fsyntax-only -I"$root/src" -xc -

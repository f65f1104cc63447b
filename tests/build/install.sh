#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh BUILD-ROOT COMPILER...
# What is installed is enough for a program: found by pkg-config, in C and C++, shared and static.
set -eu

build=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

meson install -C "$build" --no-rebuild --destdir "$scratch/root" >"$scratch/log" 2>&1 || {
	cat "$scratch/log"
	exit 1
}
pc=$(find "$scratch/root" -name twostep.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$scratch/root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
libdir=$(dirname "$(find "$scratch/root" -name libtwostep.a)")

cat >"$scratch/program.c" <<END
#include <twostep.h>
#include <twostep/bus.h>
#include <stdio.h>

/* A name that the library uses inside is free for programs. */
int base_error(void);
int base_error(void)
{
	return 0;
}

int main(void)
{
	struct dma_dev *dev = NULL;

	if (dma_dev_open("nosuch:", &dev) == 0 || dev != NULL)
		return 1;
	puts(dma_last_error());
	return base_error();
}
END

# shellcheck disable=SC2046  # pkg-config prints words
{
	"$@" -Wall -Wextra -Werror "$scratch/program.c" $(pkg-config --cflags --libs twostep) \
		-o "$scratch/shared"
	"$@" -Wall -Wextra -Werror "$scratch/program.c" $(pkg-config --cflags twostep) \
		"$libdir/libtwostep.a" $(PKG_CONFIG_SYSROOT_DIR='' pkg-config --libs liburcu-bp) \
		-pthread -o "$scratch/static"
}
LD_LIBRARY_PATH=$libdir "$scratch/shared" >"$scratch/said"
"$scratch/static" | cmp - "$scratch/said"
[ -s "$scratch/said" ]
readelf -d "$scratch/shared" | grep -q 'NEEDED.*libtwostep\.so\.0'

for header in "$scratch"/root/*/*/include/twostep/*.h "$scratch"/root/*/include/twostep/*.h; do
	[ -e "$header" ] || continue
	name=twostep/$(basename "$header")
	# shellcheck disable=SC2046
	echo "#include <$name>" | "$@" -std=c11 -Wall -Wextra -Werror -pedantic -fsyntax-only \
		$(pkg-config --cflags twostep) -xc -
	# shellcheck disable=SC2046
	if command -v c++ >/dev/null; then
		echo "#include <$name>" | c++ -Wall -Wextra -Werror -fsyntax-only \
			$(pkg-config --cflags twostep) -xc++ -
	fi
done

#!/bin/sh
# SPDX-License-Identifier: MIT
# initramfs.sh OUTPUT BUILD [MODULES]
# What the guest runs: busybox, init, the programs of BUILD/tests/vfio/ and the command, with the
# libraries that they need, and kernel modules.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
output=$1
build=$2
modules=${3:-}

busybox=$(command -v busybox)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root" # whoever is not root shall find /dev, too
mkdir -p "$root"/bin "$root"/dev "$root"/proc "$root"/sys "$root"/tmp "$root"/huge "$root"/mnt "$root"/tests
cp "$here/init" "$root/init"
chmod +x "$root/init"

# add PROGRAM TO: with its libraries, where the loader looks for them.
add() {
	strip -o "$root/$2" "$1"
	ldd "$1" 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[ 	]*\(\/[^ ]*\) (.*/\1/p' |
		while read -r library; do
			mkdir -p "$root$(dirname "$library")"
			[ -e "$root$library" ] || cp -L "$library" "$root$library"
		done
}

add "$busybox" bin/busybox
for program in "$build"/tests/vfio/guest-* "$build"/bench/guest-*; do
	case $program in
	*.p) ;;
	*) [ -x "$program" ] && [ -f "$program" ] && add "$program" "tests/${program##*/guest-}" ;;
	esac
done
add "$build/twostep" bin/twostep
[ -z "$modules" ] || cp -r "$modules/lib" "$root/"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$output.part"
mv "$output.part" "$output"

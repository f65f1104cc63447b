#!/bin/sh
# SPDX-License-Identifier: MIT
# stock.sh
# Debian's own kernel, as it is shipped, and the modules that the guest needs of it, in a folder
# of the cache. Prints the folder: bzImage and modules/.
set -eu
PATH=$PATH:/usr/sbin:/sbin # depmod, modprobe

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/twostep
mkdir -p "$cache"
exec 9>"$cache/stock.lock"
flock 9

wanted="vfio-pci vfio_iommu_type1 nvme virtio_pci ext4"
# Debian ships the image, its modules, and the lists of what is where, each on its own.
release='7\.[0-9.]*\+deb[0-9]*-amd64'
packages=$("$here/packages.sh" "$cache/apt" "linux-binary-$release" "linux-modules-$release" \
	"linux-base-$release")
hash=$({
	echo "$packages" | xargs -n 1 basename
	cat "$0"
} | sha256sum | cut -c 1-16)
kept=$cache/stock-$hash
if [ -e "$kept/bzImage" ]; then
	echo "$kept"
	exit 0
fi

work=$kept.part
rm -rf "$work"
mkdir -p "$work/package" "$work/done/modules"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
for package in $packages; do
	echo "unpacking $(basename "$package")" >&2
	dpkg -x "$package" "$work/package"
done
# The image is beside its modules, or in /boot.
image=$(find "$work/package" -name vmlinuz -o -name 'vmlinuz-*' | head -n 1)
modules=$(find "$work/package" -type d -path '*/lib/modules/*' -prune | head -n 1)
[ -n "$image" ] && [ -n "$modules" ] || {
	echo "no kernel image, or no modules, in $(echo "$packages" | tr '\n' ' ')" >&2
	exit 1
}
version=${modules##*/}
tree=$work/done/modules/lib/modules/$version
mkdir -p "$tree"
cp "$modules"/modules.builtin* "$modules/modules.order" "$tree/"
root=${modules%/lib/modules/*}
depmod -b "$root" "$version"
for module in $wanted; do
	modprobe -d "$root" -S "$version" --show-depends "$module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
	to=$tree/${file##*/modules/"$version"/}
	mkdir -p "$(dirname "$to")"
	case $file in
	*.xz) xz -dc "$file" >"${to%.xz}" ;;
	*.zst) zstd -dqc "$file" >"${to%.zst}" ;;
	*) cp "$file" "$to" ;;
	esac
done
depmod -b "$work/done/modules" "$version"
cp "$image" "$work/done/bzImage"
rm -rf "$kept"
mv "$work/done" "$kept"
echo "$kept"

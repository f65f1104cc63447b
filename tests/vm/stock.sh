#!/bin/sh
# SPDX-License-Identifier: MIT
# stock.sh
# Debian's own kernel, as it is shipped, and the modules that the guest needs of it, in a folder
# of the cache. Prints the folder: bzImage and modules/.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/twostep
mkdir -p "$cache"
exec 9>"$cache/stock.lock"
flock 9

wanted="vfio-pci vfio_iommu_type1 nvme virtio_pci ext4"
packages=$("$here/packages.sh" "$cache/apt" 'linux-binary-7\.[0-9.]*\+deb[0-9]*-amd64' \
	'linux-modules-7\.[0-9.]*\+deb[0-9]*-amd64')
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
for package in $packages; do
	dpkg -x "$package" "$work/package"
done
image=$(find "$work/package/boot" -name 'vmlinuz-*' | sort -V | tail -n 1)
version=${image##*/vmlinuz-}
modules=$(find "$work/package" -type d -path "*/modules/$version" | head -n 1)
[ -n "$image" ] && [ -n "$modules" ] || {
	echo "Debian's kernel packages do not hold what was expected" >&2
	exit 1
}
tree=$work/done/modules/lib/modules/$version
mkdir -p "$tree"
cp "$modules"/modules.builtin* "$modules/modules.order" "$tree/"
root=${modules%/lib/modules/*}
root=${root%/usr}
depmod -b "$root" "$version" 2>/dev/null || depmod -b "$root/usr" "$version"
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

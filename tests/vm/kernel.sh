#!/bin/sh
# SPDX-License-Identifier: MIT
# kernel.sh
# The small kernel of the guest: made once from Debian's kernel source with x86_64.config merged
# on allnoconfig, and kept in the cache by a hash of all that went in. Prints its path.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/twostep
mkdir -p "$cache"

[ -z "${VM_KERNEL:-}" ] || {
	[ -r "$VM_KERNEL" ] || {
		echo "VM_KERNEL=$VM_KERNEL cannot be read: it is to be the bzImage of a kernel that is" \
			"configured as tests/vm/x86_64.config says" >&2
		exit 1
	}
	echo "$VM_KERNEL"
	exit 0
}
# One at a time: another may just be building it.
exec 9>"$cache/kernel.lock"
flock 9

source=$("$here/packages.sh" "$cache/apt" 'linux-source-7\.[0-9]*')
hash=$({
	basename "$source"
	cat "$here/x86_64.config"
	gcc --version | head -n 1
} | sha256sum | cut -c 1-16)
kernel=$cache/kernel-$hash/bzImage
if [ -e "$kernel" ]; then
	echo "$kernel"
	exit 0
fi

work=$cache/kernel-$hash.part
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
echo "unpacking $(basename "$source")" >&2
dpkg -x "$source" "$work/package"
mkdir "$work/linux"
tar -C "$work/linux" --strip-components=1 -xf "$work"/package/usr/src/linux-source-*.tar.xz
rm -rf "$work/package"
cd "$work/linux"
echo "configuring" >&2
scripts/kconfig/merge_config.sh -n "$here/x86_64.config" >"$work/config.log" 2>&1 || {
	cat "$work/config.log" >&2
	exit 1
}
# What was asked for and is not there, by a dependency that is not met, is told.
while IFS= read -r line; do
	case $line in
	CONFIG_*=n) grep -q "^${line%=n}=" .config && echo "not as asked: $line" >&2 ;;
	CONFIG_*) grep -qxF "$line" .config || echo "not as asked: $line" >&2 ;;
	esac
done <"$here/x86_64.config"

# About so many objects; the last steps have no number.
total=1870 shown=-1 done=0
echo "building the kernel, once: about 15 minutes of a processor" >&2
status=$work/status
{
	make -j"$(nproc)" bzImage 2>"$work/errors" && echo ok >"$status"
} | while read -r line; do
	done=$((done + 1))
	if [ $((done / 100)) -ne "$shown" ]; then
		shown=$((done / 100))
		printf '\rkernel: %d of about %d files' "$done" "$total" >&2
	fi
done
echo >&2
[ -e "$status" ] || {
	tail -n 30 "$work/errors" >&2
	echo "the kernel could not be built" >&2
	exit 1
}
mkdir "$work/done"
cp arch/x86/boot/bzImage "$work/done/bzImage"
cp .config "$work/done/config"
rm -rf "$cache/kernel-$hash"
mv "$work/done" "$cache/kernel-$hash"
echo "$kernel"

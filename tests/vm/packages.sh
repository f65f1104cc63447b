#!/bin/sh
# SPDX-License-Identifier: MIT
# packages.sh CACHE PATTERN...
# Fetch the newest Debian package that each pattern (an anchored regular expression) names from
# trixie-backports, and print the path of each .deb. The host's own apt is left as it is: lists
# and packages are kept in CACHE.
set -eu

cache=$1
shift
command -v apt-get >/dev/null 2>&1 || {
	echo "no apt-get here: kernels come from Debian's packages; give one by VM_KERNEL=bzImage" >&2
	exit 1
}
mkdir -p "$cache/lists/partial" "$cache/archives/partial"
exec 8>"$cache/lock"
flock 8
: >"$cache/status"

# The archive that this system uses itself.
mirror=$(sed -n 's/^URIs:[ 	]*\([^ ]*\).*/\1/p; s/^deb[ 	]\(\[[^]]*\][ 	]*\)\{0,1\}\([^ ]*\).*/\2/p' \
	/etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
	grep -E '/debian/*$' | head -n 1)
[ -n "$mirror" ] || {
	echo "no Debian archive in /etc/apt: give a kernel by VM_KERNEL=bzImage" >&2
	exit 1
}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || {
	echo "$keyring is missing: install debian-archive-keyring, or give a kernel by VM_KERNEL=bzImage" >&2
	exit 1
}
echo "deb [signed-by=$keyring] $mirror trixie-backports main" >"$cache/sources.list"

apt() {
	tool=$1
	shift
	"$tool" -o Dir::Etc::SourceList="$cache/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$cache/lists" -o Dir::State::status="$cache/status" \
		-o Dir::Cache="$cache" -o APT::Sandbox::User=root -q "$@"
}

# Lists are good for a day; older ones serve where the archive is out of reach.
if [ -z "$(find "$cache" -maxdepth 1 -name updated -mtime -1)" ]; then
	if apt apt-get -o APT::Update::Error-Mode=any update >"$cache/update.log" 2>&1; then
		touch "$cache/updated"
	elif [ -e "$cache/updated" ]; then
		echo "the package lists of $mirror cannot be fetched: using those of $(date -r "$cache/updated" +%F)" >&2
	else
		cat "$cache/update.log" >&2
		echo "the package lists of $mirror (trixie-backports) cannot be fetched" >&2
		exit 1
	fi
fi
for pattern; do
	name=$(apt apt-cache search --names-only "^$pattern\$" | cut -d ' ' -f 1 | sort -V | tail -n 1)
	[ -n "$name" ] || {
		echo "trixie-backports has no package $pattern" >&2
		exit 1
	}
	described=$(apt apt-cache show --no-all-versions "$name")
	version=$(echo "$described" | sed -n 's/^Version: //p')
	kept=$cache/archives/$name.version
	if [ "$(cat "$kept" 2>/dev/null)" != "$version" ]; then
		size=$(echo "$described" | sed -n 's/^Size: //p')
		echo "downloading $name $version ($((size / 1048576)) MiB)" >&2
		rm -f "$cache/archives/${name}"_*.deb
		(cd "$cache/archives" && apt apt-get download "$name" >"$cache/download.log" 2>&1) || {
			cat "$cache/download.log" >&2
			exit 1
		}
		echo "$version" >"$kept"
	fi
	file=$(find "$cache/archives" -name "${name}_*.deb")
	echo "$file"
done

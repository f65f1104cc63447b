#!/bin/sh
# SPDX-License-Identifier: MIT
# prerequisites.sh check|install SET...
# See whether what a set of front doors needs is there; install what is missing through apt.
# Sets: build (compiler, meson, liburcu), tools, tests, vm (QEMU, and what builds a kernel),
# sanitize, fuzz.
set -eu

# One line a need: set, Debian package, and how to see that it is there. `lib X` asks pkg-config.
needs='
build gcc tool cc
build libc6-dev header stdio.h
build binutils tool objcopy
build meson tool meson
build ninja-build tool ninja
build pkg-config tool pkg-config
build liburcu-dev lib liburcu-bp
tools libssl-dev lib libcrypto
tools libpci-dev lib libpci
tests libcmocka-dev lib cmocka
vm qemu-system-x86 tool qemu-system-x86_64
vm busybox-static tool busybox
vm cpio tool cpio
vm kmod tool kmod
vm xz-utils tool xz
vm make tool make
vm flex tool flex
vm bison tool bison
vm bc tool bc
vm libelf-dev lib libelf
vm libssl-dev lib libcrypto
vm zstd tool zstd
vm perl tool perl
sanitize gcc tool gcc
sanitize clang tool clang
sanitize llvm tool llvm-symbolizer
sanitize libclang-rt-dev runtime asan
fuzz clang tool clang
fuzz llvm tool llvm-symbolizer
fuzz libclang-rt-dev runtime fuzzer
'

there() {
	case $1 in
	tool) command -v "$2" ;;
	header) echo "#include <$2>" | cc -E - ;;
	lib) pkg-config --exists "$2" ;;
	runtime) clang_runtime "$2" ;;
	esac >/dev/null 2>&1
}

# Link a program: where clang keeps the sanitizers differs between its versions.
clang_runtime() {
	case $1 in
	fuzzer) program='int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }'
		flag=-fsanitize=fuzzer ;;
	*) program='int main(void) { return 0; }'
		flag=-fsanitize=address,undefined ;;
	esac
	echo "$program" | clang "$flag" -x c - -o /dev/null
}

missing_of() {
	echo "$needs" | while read -r set package how what; do
		if [ "$set" = "$1" ] && ! there "$how" "$what"; then
			echo "$package"
		fi
	done
}

# Debian 12 has the runtime apart from clang, in a package numbered like clang itself; where it
# has not, it comes with clang.
exact_package() {
	if [ "$1" = libclang-rt-dev ] && ! apt-cache show libclang-rt-dev >/dev/null 2>&1; then
		version=$(apt-cache depends clang 2>/dev/null |
			sed -n 's/.*Depends: clang-\([0-9][0-9]*\)$/\1/p' | head -n 1)
		echo "libclang-rt-${version:-14}-dev"
	else
		echo "$1"
	fi
}

fail() {
	echo "$*" >&2
	exit 1
}

action=$1
shift
missing=
for set in "$@"; do
	missing="$missing $(missing_of "$set" | tr '\n' ' ')"
done
missing=$(echo "$missing" | tr ' ' '\n' | sort -u | tr '\n' ' ' | sed 's/^ *//; s/ *$//')
[ -n "$missing" ] || exit 0

if [ "$action" = check ]; then
	fail "missing (Debian's names): $missing
install them, or run: make prerequisites"
fi
if ! command -v apt-get >/dev/null 2>&1; then
	fail "missing (Debian's names): $missing
there is no apt-get here: install what holds them with this system's package manager"
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root=sudo
	command -v sudo >/dev/null 2>&1 ||
		fail "missing: $missing
run as root: apt-get update && apt-get install -y --no-install-recommends $missing"
fi

export DEBIAN_FRONTEND=noninteractive
echo "installing through apt: $missing"
$as_root apt-get -q update || echo "apt-get update failed; trying with the lists that are there" >&2
packages=
for package in $missing; do
	packages="$packages $(exact_package "$package")"
done
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive \
	apt-get -q install -y --no-install-recommends $packages </dev/null ||
	fail "installing failed; run: ${as_root:+$as_root }apt-get update && ${as_root:+$as_root }apt-get install -y --no-install-recommends$packages"

for set in "$@"; do
	still=$(missing_of "$set" | tr '\n' ' ')
	[ -z "$still" ] || fail "installed, but still not usable: $still(needed for: $set)"
done

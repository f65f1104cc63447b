#!/bin/sh
# SPDX-License-Identifier: MIT
# prerequisites.sh SOURCE-ROOT
# What is missing is named; apt is used only if something is, and its failures are told with
# the command to run. All against tools of our own, found first or alone on the path.
set -eu

script=$1/scripts/prerequisites.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
	echo "$1"
	cat "$scratch/said"
	exit 1
}

# run STATUS PATH ARGUMENT...: what the script says goes to $scratch/said.
run() {
	expected=$1 path=$2
	shift 2
	status=0
	PATH=$path /bin/sh "$script" "$@" >"$scratch/said" 2>&1 || status=$?
	[ $status -eq "$expected" ] || fail "exit status $status, not $expected: $*"
}

said() {
	grep -q -- "$1" "$scratch/said" || fail "not said: $1"
}

program() {
	printf '#!/bin/sh\n%s\n' "$2" >"$3/$1"
	chmod +x "$3/$1"
}

# A system with a shell and nothing else.
mkdir "$scratch/bare"
for tool in sort tr sed id env cat head; do
	ln -s "$(command -v $tool)" "$scratch/bare/$tool"
done
run 1 "$scratch/bare" check build tests
said 'gcc.*libc6-dev.*libcmocka-dev.*liburcu-dev.*meson.*ninja-build.*pkg-config'
run 1 "$scratch/bare" install build
said 'no apt-get here'

# The same with an apt that installs nothing, one that fails, and nobody who is root.
mkdir "$scratch/apt"
cp -P "$scratch"/bare/* "$scratch/apt"
rm "$scratch/apt/id"
program id 'echo 0' "$scratch/apt"
program apt-cache 'exit 0' "$scratch/apt"
program apt-get "echo \"\$@\" >>'$scratch/asked'" "$scratch/apt"
run 1 "$scratch/apt" install build
said 'installing through apt: .*ninja-build'
said 'still not usable'
grep -q 'install -y --no-install-recommends .*meson' "$scratch/asked"
grep -q 'update' "$scratch/asked"
program apt-get 'exit 100' "$scratch/apt"
run 1 "$scratch/apt" install build
said 'installing failed; run: apt-get update && apt-get install .*liburcu-dev'
program id 'echo 1000' "$scratch/apt"
run 1 "$scratch/apt" install build
said 'run as root: apt-get update && apt-get install'

# A system that has everything: apt is not touched.
mkdir "$scratch/full"
cp -P "$scratch"/bare/* "$scratch/full"
for tool in cc gcc clang objcopy meson ninja pkg-config llvm-symbolizer \
	qemu-system-x86_64 busybox cpio kmod xz zstd perl make flex bison bc; do
	program $tool 'exit 0' "$scratch/full"
done
program apt-get "echo touched >'$scratch/touched'" "$scratch/full"
run 0 "$scratch/full" install build tools tests vm sanitize fuzz
[ ! -e "$scratch/touched" ] || fail "apt was asked although nothing was missing"
run 0 "$scratch/full" check build tools tests vm sanitize fuzz

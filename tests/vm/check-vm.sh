#!/bin/bash
# SPDX-License-Identifier: MIT
# check-vm.sh BUILD [--self-test] [ROW...]
# Boot real kernels with emulated IOMMUs and run the tests of real devices in them. All rows, and
# whether rows that must fail do, unless rows are named. VM_ONLY=NAME runs one test program.
set -u

here=$(cd "$(dirname "$0")" && pwd)
build=$1
shift
self_test=
if [ "${1:-}" = --self-test ]; then
	self_test=only
	shift
fi
[ $# -gt 0 ] || self_test=${self_test:-too}
rows=$*
[ -n "$rows" ] || [ "$self_test" = only ] || rows=$(sed -n 's/^\([a-z][^ ]*\).*/\1/p' "$here/rows")

kernel=$("$here/kernel.sh") || exit 1
mkdir -p "$build/vm"
"$here/initramfs.sh" "$build/vm/small.cpio.gz" "$build" || exit 1

# A host that says it has KVM may not run a guest with it.
if [ -z "${VM_KVM:-}" ] && [ -w /dev/kvm ] &&
	VM_KVM=1 VM_TIMEOUT=20 "$here/run.sh" intel-type1 "$kernel" "$build/vm/small.cpio.gz" guest \
		>/dev/null 2>&1; then
	export VM_KVM=1
fi
echo "# guests run ${VM_KVM:+with KVM}${VM_KVM:-under software emulation}" | sed 's/KVM1/KVM/'

passed=0 failed=0
count() {
	passed=$((passed + $(grep -c '^ok ' "$1")))
	failed=$((failed + $(grep -c '^not ok ' "$1")))
}

output=$build/vm/output
for row in $rows; do
	initramfs=$build/vm/small.cpio.gz image=$kernel
	if grep -qE "^$row[[:space:]]+stock" "$here/rows"; then
		stock=$("$here/stock.sh") || {
			failed=$((failed + 1))
			continue
		}
		image=$stock/bzImage initramfs=$build/vm/stock.cpio.gz
		"$here/initramfs.sh" "$initramfs" "$build" "$stock/modules" || exit 1
	fi
	"$here/run.sh" "$row" "$image" "$initramfs" "${VM_ONLY:-}" >"$output" 2>&1
	status=$?
	cat "$output"
	count "$output"
	[ $status -eq 0 ] || grep -q '^not ok ' "$output" || failed=$((failed + 1))
done

if [ -n "$self_test" ]; then
	for way in panic hang silent warning fault failing short; do
		if VM_SELFTEST=$way VM_TIMEOUT=15 "$here/run.sh" intel-type1 "$kernel" \
			"$build/vm/small.cpio.gz" guest >"$output" 2>&1 ||
			! grep -q -- '^--- console of' "$output"; then
			echo "not ok self-test: a guest with: $way, was let pass"
			cat "$output"
			failed=$((failed + 1))
		else
			echo "ok self-test: a guest with: $way, fails"
			passed=$((passed + 1))
		fi
	done
fi
rm -f "$output"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

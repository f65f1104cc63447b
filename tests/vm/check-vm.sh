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

passed=0 failed=0
end() {
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
	exit
}

# give_up WHAT: nothing can be booted without it.
give_up() {
	echo "not ok $1"
	failed=$((failed + 1))
	end
}

mkdir -p "$build/vm"
kernel=$("$here/kernel.sh") || give_up "the guest's kernel"
"$here/initramfs.sh" "$build/vm/small.cpio.gz" "$build" || give_up "the guest's programs"

# A host that says it has KVM may not run a guest with it.
if [ -z "${VM_KVM:-}" ] && [ -w /dev/kvm ] &&
	VM_KVM=1 VM_TIMEOUT=20 "$here/run.sh" intel-type1 "$kernel" "$build/vm/small.cpio.gz" guest \
		>/dev/null 2>&1; then
	export VM_KVM=1
fi
echo "# guests run ${VM_KVM:+with KVM}${VM_KVM:-under software emulation}" | sed 's/KVM1/KVM/'

count() {
	passed=$((passed + $(grep -c '^ok ' "$1")))
	failed=$((failed + $(grep -c '^not ok ' "$1")))
}

output=$build/vm/output
for row in $rows; do
	initramfs=$build/vm/small.cpio.gz image=$kernel
	if grep -qE "^$row[[:space:]]+stock" "$here/rows"; then
		if [ -n "${VM_KERNEL:-}" ] && ! command -v apt-get >/dev/null 2>&1; then
			echo "skip $row: Debian's own kernel needs apt-get"
			continue
		fi
		stock=$("$here/stock.sh") || {
			echo "not ok $row: Debian's own kernel"
			failed=$((failed + 1))
			continue
		}
		image=$stock/bzImage initramfs=$build/vm/stock.cpio.gz
		"$here/initramfs.sh" "$initramfs" "$build" "$stock/modules" ||
			give_up "the programs of $row"
	fi
	"$here/run.sh" "$row" "$image" "$initramfs" "${VM_ONLY:-}" >"$output" 2>&1
	status=$?
	cat "$output"
	count "$output"
	[ $status -eq 0 ] || grep -q '^not ok ' "$output" || failed=$((failed + 1))
done

if [ -n "$self_test" ]; then
	# The way a guest goes wrong (see init), the row and the program that it runs, and what must be
	# said of it.
	while read -r way row test reason; do
		if VM_SELFTEST=$way VM_TIMEOUT=15 "$here/run.sh" "$row" "$kernel" \
			"$build/vm/small.cpio.gz" "$test" >"$output" 2>&1 </dev/null; then
			# What this QEMU does not boot is no guest.
			grep "^skip $row: an AMD IOMMU" "$output" && continue
			wrong="it passes"
		elif ! grep -q "^not ok $row: .*$reason" "$output"; then
			wrong="not said: $reason"
		elif ! sed -n '/^--- console of/,/^--- end of/p' "$output" | grep -q '^| vm: log$'; then
			wrong="its console is not shown"
		else
			echo "ok self-test: a guest that must fail ($way) fails"
			passed=$((passed + 1))
			continue
		fi
		echo "not ok self-test: a guest that must fail ($way): $wrong"
		cat "$output"
		failed=$((failed + 1))
	done <<-'END'
		panic intel-type1 guest the guest has panicked
		hang intel-type1 guest no end after
		silent intel-type1 guest the guest has not come to its end
		warning intel-type1 guest the kernel has complained
		leak intel-type1 guest the kernel has complained
		fault intel-type1 guest a DMA fault that no test expects
		stray amd-type1 isolation a DMA fault that no test expects: QEMU
		failing intel-type1 guest selftest: 1 - must fail
		status intel-type1 guest selftest: exit status 7
		short intel-type1 guest selftest: 1 of 2 results
		planless intel-type1 guest selftest: no plan
	END
fi
rm -f "$output"
end

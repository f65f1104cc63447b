#!/bin/sh
# SPDX-License-Identifier: MIT
# judge.sh JUDGE
# Consoles as guests write them: those of guests that are well pass, and each thing that must not
# be there is told.
set -u

judge=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
number=0 bad=0

# verdict LOG [BESIDE]: of a guest with one test, its kernel's log, and what QEMU writes.
verdict() {
	printf 'vm: log\nvm: log ends\nvm: test one\n1..1\nok 1 - well\nvm: exit 0\n' >"$folder/text"
	printf 'vm: log\n%s\nvm: log ends\nvm: done\n' "$1" >>"$folder/text"
	printf '%s\n' "${2:-}" >"$folder/beside"
	awk -v row=row -f "$judge" "$folder/text" "$folder/beside" >"$folder/verdict"
}

# What a console is about.
told() {
	echo "$1" | tr '\n' ' ' | sed 's/^ *//
		s/ *twostep: no-more-dma-faults */, no more expected; /
		s/twostep: expect-dma-faults/expected:/'
}

result() {
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number - $2"
		return
	fi
	echo "not ok $number - $2"
	sed 's/^/# /' "$folder/verdict"
	bad=1
}

passes() {
	verdict "$@" && grep -q '^ok row: one: 1 - well$' "$folder/verdict" &&
		! grep -q '^not ok' "$folder/verdict"
	result $? "passes: $(told "$*")"
}

# complains WHAT LOG [BESIDE]
complains() {
	what=$1
	shift
	! verdict "$@" && grep -q "^not ok row: $what" "$folder/verdict"
	result $? "fails: $(told "$*")"
}

expected() {
	printf 'twostep: expect-dma-faults\n%s\ntwostep: no-more-dma-faults' "$1"
}

passes ""
passes "DMA-API: preallocated 65536 debug entries
DMA-API: debugging enabled by kernel config"
passes "DMA-API: dma_debug_entry pool grown to 131072 (200%)"

# Messages of kernel/dma/debug.c, of the kernel's watchdogs, and of IOMMU drivers that are out of
# step with their hardware. No test may expect them.
while IFS= read -r line; do
	complains "the kernel has complained" "$line"
	complains "the kernel has complained" "$(expected "$line")"
done <<'END'
DMA-API: exceeded 7 overlapping mappings of cacheline 0x0000000000012345
DMA-API: debugging out of memory - disabling
DMA-API: nvme 0000:00:10.0: device driver frees DMA memory with different size
DMA-API: nvme 0000:00:10.0: dma_map_resource called for RAM address 0x1000
DMA-API: nvme 0000:00:10.0: mapping sg segment longer than device claims to support
WARNING: drivers/vfio/vfio_iommu_type1.c:1000 at vfio_dma_do_map
BUG: unable to handle page fault for address: 0000000000001000
kernel BUG at mm/gup.c:100!
Oops: general protection fault, probably for non-canonical address
Call Trace:
watchdog: BUG: soft lockup - CPU#0 stuck for 22s!
INFO: task guest-nvme:71 blocked for more than 120 seconds.
rcu: INFO: rcu_sched self-detected stall on CPU
DMAR: VT-d detected Invalidation Queue Error: Reason 0
DMAR: VT-d detected Invalidation Time-out Error: SID 0
AMD-Vi: IOMMU 0000:00:01.0: Completion-Wait loop timed out
AMD-Vi: Event logged [ILLEGAL_DEV_TABLE_ENTRY device=0000:00:10.0 pasid=0x00000 address=0x0]
AMD-Vi: Event logged [COMMAND_HARDWARE_ERROR address=0x0 flags=0x0000]
END

# Faults, which a test may expect.
while IFS= read -r line; do
	complains "a DMA fault that no test expects" "$line"
	complains "a DMA fault that no test expects" "$(expected "")
$line"
	passes "$(expected "$line")"
done <<'END'
DMAR: [DMA Write NO_PASID] Request device [0000:00:10.0] fault addr 0x7fffffd000 [fault reason 0x05]
DMAR: DRHD: handling fault status reg 2
nvme 0000:00:10.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0001 address=0x1000 flags=0x0020]
AMD-Vi: Event logged [INVALID_DEVICE_REQUEST device=0000:00:10.0 pasid=0x00000 address=0x1000]
virtio_iommu virtio0: page fault from EP 128 at 0xffffffffd000 []
virtio_iommu virtio0: domain fault from EP 128 at 0xffffffffd000 [W]
virtio_iommu virtio0: unknown fault from EP 128
END

# What QEMU refuses, beside the console. What the kernel's log expects is not expected there.
stray="Invalid write at addr 0xFFFFFFFFD000, size 4, region '(null)', reason: rejected"
complains "a DMA fault that no test expects: QEMU" "" "$stray"
complains "a DMA fault that no test expects: QEMU" "twostep: expect-dma-faults" "$stray"
complains "a DMA fault that no test expects: QEMU" "" "$(expected "$stray")
$stray"
passes "" "$(expected "$stray")"
passes "" "Invalid read at addr 0xFE000000, size 4, region '(null)', reason: rejected"

echo "1..$number"
exit $bad

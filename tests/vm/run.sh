#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh ROW BZIMAGE INITRAMFS [ONLY]
# Boot one row of the matrix and judge it. Prints a line a test; a row that fails prints its
# console, as does any with VM_CONSOLE=1. Exit status 0: all passed.
set -u

here=$(cd "$(dirname "$0")" && pwd)
row=$1 kernel=$2 initramfs=$3 only=${4:-}
limit=${VM_TIMEOUT:-400} # seconds; a row takes a tenth of it
read -r _ _ iommu scheme < <(grep -E "^$row[[:space:]]" "$here/rows") || {
	echo "there is no row $row; there are: $(sed -n 's/^\([a-z][^ ]*\).*/\1/p' "$here/rows" | tr '\n' ' ')" >&2
	exit 2
}

qemu=${QEMU:-qemu-system-x86_64}
version=$("$qemu" --version | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1)
device= third=bus=rp0 listen= host=
# Two devices that an IOMMU cannot tell apart.
shared="-device pcie-pci-bridge,id=bridge,addr=15 -device edu,bus=bridge,addr=1 -device pci-testdev,bus=bridge,addr=2"
case $iommu in
intel) device="-device intel-iommu,intremap=on" ;;
virtio)
	device="-device virtio-iommu-pci"
	third=addr=16
	# Linux takes none of the devices of such an IOMMU if one is behind a bridge; but functions
	# of one old device share a group as well.
	shared="-device edu,addr=15.0,multifunction=on -device pci-testdev,addr=15.1"
	;;
amd)
	device="-device amd-iommu"
	# It refuses without an event, so the kernel's log tells nothing of a fault. QEMU itself
	# does, and what tests expect is written between its lines, through a second serial port.
	host=ttyS1
	# Interrupts of what is behind a port do not come through it; nor through the next.
	third=addr=16
	# What it emulates differs by version: 10 does not boot with it, 11 wants to be told.
	if [ "$version" -ge 11 ]; then
		device="-device amd-iommu,dma-remap=on"
	elif [ "$version" -eq 10 ]; then
		echo "skip $row: an AMD IOMMU of QEMU 10 hangs at boot; version 7.2 or 11 boots"
		exit 0
	fi
	;;
esac

accel="tcg,thread=multi"
[ -z "${VM_KVM:-}" ] || accel=kvm,kernel-irqchip=split
folder=$(mktemp -d)
qemu_pid=
cleanup() {
	[ -z "$qemu_pid" ] || kill -9 "$qemu_pid" 2>/dev/null
	rm -rf "$folder"
}
trap cleanup EXIT
for disk in 0 1 2; do
	truncate -s 64M "$folder/disk$disk"
done
mkfifo "$folder/monitor.in" "$folder/console"
: >"$folder/errors"
[ -z "$host" ] ||
	listen="-d guest_errors -chardev file,id=host,path=$folder/errors,append=on -serial chardev:host"

append="console=ttyS0,115200 loglevel=1 panic=-1 printk.devkmsg=on no_timer_check hugepages=32 intel_iommu=on"
append="$append iommu.strict=1 iommu.passthrough=0 twostep.scheme=$scheme twostep.iommu=$iommu"
# These have no interrupt remapping here.
case $iommu in
amd | virtio) append="$append iommufd.allow_unsafe_interrupts=1 vfio_iommu_type1.allow_unsafe_interrupts=1" ;;
esac
[ -z "$host" ] || append="$append twostep.host=$host"
[ -z "$only" ] || append="$append twostep.only=$only"
[ -z "${VM_SELFTEST:-}" ] || append="$append twostep.selftest=$VM_SELFTEST"

# The machine. Tests find devices by what they are, and drives by their order.
# shellcheck disable=SC2086  # words
"$qemu" -nodefaults -no-user-config -display none -no-reboot \
	-machine q35 -accel $accel -cpu max -smp 2 -m 1G \
	-serial "file:$folder/serial" $listen -monitor stdio \
	-kernel "$kernel" -initrd "$initramfs" -append "$append" \
	$device \
	-drive "file=$folder/disk0,if=none,id=d0,format=raw" \
	-drive "file=$folder/disk1,if=none,id=d1,format=raw" \
	-drive "file=$folder/disk2,if=none,id=d2,format=raw" \
	-device nvme,serial=twostep0,drive=d0,addr=10 \
	-device nvme,serial=twostep1,drive=d1,addr=11 \
	-device pcie-root-port,id=rp0,chassis=1,slot=1,addr=12 \
	-device nvme,serial=twostep2,drive=d2,id=nvme2,$third \
	-device edu,addr=13 \
	-object memory-backend-ram,id=shared,size=1M,share=on \
	-device ivshmem-plain,memdev=shared,addr=14 \
	$shared \
	<>"$folder/monitor.in" >"$folder/monitor.out" 2>>"$folder/errors" &
qemu_pid=$!

# Until it is off, or too late. The guest may ask for a few things.
start=$SECONDS asked=0
while kill -0 "$qemu_pid" 2>/dev/null; do
	if [ $((SECONDS - start)) -ge "$limit" ]; then
		kill -9 "$qemu_pid"
		echo "not ok $row: no end after $limit s" >"$folder/late"
		break
	fi
	wants=$(grep -c '^vm: unplug' "$folder/serial" 2>/dev/null)
	if [ "${wants:-0}" -gt "$asked" ]; then
		asked=$wants
		echo "device_del nvme2" >"$folder/monitor.in"
	fi
	sleep 0.2
done
wait "$qemu_pid" 2>/dev/null
qemu_pid=

tr -d '\r' <"$folder/serial" >"$folder/text" 2>/dev/null
tr -d '\r' <"$folder/errors" >"$folder/beside"
awk -v row="$row" -f "$here/judge.awk" "$folder/text" "$folder/beside" >"$folder/verdict"
status=$?
[ ! -e "$folder/late" ] || {
	cat "$folder/late"
	status=1
}
cat "$folder/verdict"
# What the benchmark has measured there, as in bench.json.
if grep -q '^vm: bench ' "$folder/text"; then
	sed -n "s/^vm: bench \(.*\)/{\"machine\":\"guest $row\",\"results\":[\1]}/p" "$folder/text" \
		>"$(dirname "$initramfs")/bench-$row.json"
fi
if [ "$status" -ne 0 ] || [ -n "${VM_CONSOLE:-}" ]; then
	echo "--- console of $row"
	sed "s/^/| /" "$folder/text"
	# A page that is refused is a thousand such lines.
	sed "/^Invalid /s/0x[0-9a-fA-F]*/.../" "$folder/beside" | uniq -c | sed "s/^ */| /"
	echo "--- end of the console of $row"
fi
echo "# $row: $((SECONDS - start)) s"
exit $status

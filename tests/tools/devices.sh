#!/bin/sh
# SPDX-License-Identifier: MIT
# devices.sh TWOSTEP JSON_LEAVES
# The devices of a file, of a sysfs made up for the purpose, and of a machine without any.
set -u
twostep=$1
leaves=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0

wrong() {
	echo "$*"
	cat "$dir/out" "$dir/err"
	status=1
}

# run CODE ARGUMENT...
run() {
	code=$1
	shift
	"$twostep" devices "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	[ $got = "$code" ] || wrong "twostep devices $*: exit code $got, not $code"
}

said() {
	grep -q -- "$1" "$dir/out" || wrong "not said: $1"
}

cat >"$dir/plan" <<END
cpu intel 6
host pc0 0000:00 id=8086:1234 window=0xe0000000-0xefffffff
root-port rp0 00:1c.0 on pc0
upstream up0 01:00.0 on rp0
downstream dn0 02:00.0 on up0
downstream dn1 02:01.0 on up0
endpoint disk 03:00.0 on dn0 id=8086:0953 group=7 bar0=0xe0000000+1M
endpoint card 04:00.0 on dn1 id=15b3:1017
endpoint far 00:02.0 on pc0
END
run 0 --topology "$dir/plan"
said '^0000:03:00.0 disk  *endpoint  *- *7  8086:0953'
said 'memory of disk, used by card: by bus address: below up0, 4 hops'
said 'memory of disk, used by far: not supported: no common bridge; host bridge pc0 (8086:1234)'
said '^  1 disk  *B   B   -$'
run 0 --topology "$dir/plan" far
said 'memory of far, used by disk'
grep -q 'used by card: by' "$dir/out" && wrong "a pair that was not asked for"
run 0 --topology "$dir/plan" --json 03:00.0
"$leaves" <"$dir/out" >"$dir/leaves" || wrong "--json is no JSON"
grep -q '"bus address"' "$dir/leaves" || wrong "no way in JSON"
grep -q 'iommu_group=7' "$dir/leaves" || wrong "no group in JSON"

run 1 --topology "$dir/plan" nobody
grep -q '"nobody" is no function' "$dir/err" || wrong "who is missing is not told"
run 1 --topology "$dir/none"
echo 'endpoint' >"$dir/bad"
run 1 --topology "$dir/bad"
grep -q 'bad, line 1: write: endpoint' "$dir/err" || wrong "the bad line is not told"
run 2 --topology "$dir/plan" --sysfs "$dir"

# A root port with access control, two devices below it, one of them with a driver.
port=devices/pci0000:00/0000:00:1c.0
for device in $port $port/0000:01:00.0 $port/0000:01:00.1 devices/pci0000:00/0000:00:00.0; do
	mkdir -p "$dir/sys/$device" "$dir/sys/bus/pci/devices"
	ln -s "../../../$device" "$dir/sys/bus/pci/devices/${device##*/}"
	echo 0x8086 >"$dir/sys/$device/vendor"
	echo 0x2030 >"$dir/sys/$device/device"
	echo 0x010802 >"$dir/sys/$device/class"
	head -c 256 /dev/zero >"$dir/sys/$device/config"
done
echo 0x060000 >"$dir/sys/devices/pci0000:00/0000:00:00.0/class"
echo 0x060400 >"$dir/sys/$port/class"
mkdir -p "$dir/sys/bus/pci/drivers/nvme" "$dir/sys/kernel/iommu_groups/12"
ln -s ../../../../bus/pci/drivers/nvme "$dir/sys/$port/0000:01:00.0/driver"
ln -s ../../../../kernel/iommu_groups/12 "$dir/sys/$port/0000:01:00.0/iommu_group"
printf 'vendor_id\t: GenuineIntel\ncpu family\t: 6\n' >"$dir/cpuinfo"
# config BYTE VALUE: an octal value into the configuration space of the root port
config() {
	printf "\\$2" | dd of="$dir/sys/$port/config" bs=1 seek="$1" conv=notrunc 2>"$dir/dd"
}
config 6 20    # it has capabilities,
config 52 100  # at 0x40:
config 64 20   # PCI Express,
config 66 102  # a root port
run 0 --sysfs "$dir/sys" --cpuinfo "$dir/cpuinfo"
said '^0000:01:00.0  *endpoint  *nvme  *12  8086:2030'
said '^0000:00:1c.0  *root port'
said 'memory of 0000:01:00.0, used by 0000:01:00.1: by bus address: below 0000:00:1c.0, 2 hops'
head -c 3840 /dev/zero >>"$dir/sys/$port/config"
config 256 15  # access control services,
config 258 1   # version 1,
config 262 4   # requests are redirected
run 0 --sysfs "$dir/sys" --cpuinfo "$dir/cpuinfo"
said 'used by 0000:01:00.1: through the host bridge: ACS redirect at 0000:00:1c.0; host bridge pci0000:00 (8086:2030) passes it on'
head -c 64 "$dir/sys/$port/config" >"$dir/short"
cp "$dir/short" "$dir/sys/$port/config"
run 0 --sysfs "$dir/sys" --cpuinfo "$dir/cpuinfo"
said 'ACS unknown without root at 0000:00:1c.0'
said 'is not shown without root'

# Nothing at all, and no sysfs.
mkdir "$dir/empty"
run 0 --sysfs "$dir/empty"
said 'there are no PCI devices here'
run 0 --sysfs "$dir/empty" --json
"$leaves" <"$dir/out" >"$dir/leaves" || wrong "an empty --json is no JSON"
run 1 --sysfs "$dir/nowhere"
# Whatever this machine has.
run 0
[ -s "$dir/out" ] || wrong "the machine's devices: nothing is said"
# One of them: what it can do, as text and as JSON.
one=$(awk '/^[0-9a-f]*:[0-9a-f:.]* .* endpoint / { print $1; exit }' "$dir/out")
if [ -n "$one" ]; then
	run 0 "$one"
	for name in driver 'IOMMU group' 'group file' iommufd 'type 1' interrupts resets; do
		said "^$name  "
	done
	run 0 --json "$one"
	"$leaves" <"$dir/out" >"$dir/leaves" || wrong "abilities in --json are no JSON"
	grep -q '^\.abilities\.viable=' "$dir/leaves" || wrong "no abilities in JSON"
	grep -q '^\.abilities\.opened=null' "$dir/leaves" || wrong "it was opened without being asked"
fi
run 0 --topology "$dir/plan" disk
grep -q '^driver  ' "$dir/out" && wrong "a device of a file is taken for one of the machine's"
exit $status

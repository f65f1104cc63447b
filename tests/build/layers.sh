#!/bin/sh
# SPDX-License-Identifier: MIT
# layers.sh SOURCE-ROOT
# Rooms include only what is below them, devices in software only the bus, and the command only
# public headers.
set -eu

cd "$1"
status=0

# allow FOLDER PATTERN: each header of ours that a file of the folder includes matches.
allow() {
	[ -d "$1" ] || return 0
	found=$(grep -rhoE --include='*.[ch]' '^#[ 	]*include[ 	]*("[^"]*"|<twostep[^>]*>)' "$1" |
		sed 's/^[^"<]*["<]//; s/[">]$//' | sort -u | grep -vE "^($2)" || true)
	for header in $found; do
		echo "$1 includes $header:"
		grep -rlF "$header" "$1" | sed 's/^/	/'
		status=1
	done
}

allow src/base     'base/|twostep/(types|error)\.h$'
allow src/memory   'base/|memory/|twostep/(types|error|memory)\.h$'
allow src/bounce   'base/|memory/|bounce/|twostep/(types|error|memory|bounce)\.h$'
allow src/iova     'base/|iova/|twostep/types\.h$'
allow src/pgtable  'base/|pgtable/|twostep/types\.h$'
allow src/topology 'base/|topology/|twostep/(types|error|memory|p2pdma|topology)\.h$'
allow src/backend  'base/|memory/|iova/|pgtable/|backend/|twostep/(types|error|device|memory|bus|iova)\.h$'
allow src/dma      'base/|memory/|iova/|pgtable/|bounce/|topology/|backend/|dma/|twostep'
allow src/pci      'base/|memory/|backend/|topology/|dma/|pci/|twostep'
allow src/debug    'base/|memory/|debug/|twostep'
# copy is the driver of the copy engine, and has its register layout as drivers have a manual.
allow src/copy     'base/|copy/|twostep|softdev/copy_regs\.h$'
allow src/softdev  'softdev/|twostep/(bus|types)\.h$'
allow tools        '[^/]*$|twostep'
# A room that exists has a line above; open assembles the house and may include all of it.
for room in src/*/; do
	room=$(basename "$room")
	case $room in
	open) ;;
	*) grep -qE "^allow src/$room " "$0" || {
		echo "src/$room: no line in $0 says what it may include"
		status=1
	} ;;
	esac
done
exit $status

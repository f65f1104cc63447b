#!/bin/sh
# SPDX-License-Identifier: MIT
# demo_broken.sh TWOSTEP_BROKEN JSON_LEAVES
# The demo notices what goes wrong: see broken.c for what BREAK makes happen. A file of one page
# is read four times: for its digest, and once a mode.
set -u
twostep=$1
leaves=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
head -c 4096 /dev/zero | tr '\0' 'x' >"$dir/page"
head -c 5000 "$twostep" >"$dir/file"
status=0

wrong() {
	echo "BREAK=$order: $*"
	status=1
}

# broken ORDER FILE WORDS: exit code 1 and a sentence with these words.
broken() {
	order=$1
	BREAK=$1 "$twostep" demo --json "$2" >"$dir/json" 2>"$dir/err"
	code=$?
	[ $code = 1 ] || wrong "exit code $code"
	grep -qF "$3" "$dir/err" || wrong "says $(cat "$dir/err")"
}

# has LINE
has() {
	"$leaves" <"$dir/json" | grep -qxF "$1" || wrong "no $1"
}

order=none
"$twostep" demo "$dir/page" >/dev/null 2>&1 || wrong "fails although nothing is broken"

for mode in 0 1 2; do
	case $mode in 0) name=per-page ;; 1) name=link ;; 2) name=vec ;; esac
	for order in read:$((mode + 2)) fill:$((mode + 1)); do
		broken $order "$dir/page" "in mode $name"
		has .sha256_ok=false
		for other in 0 1 2; do
			[ $other = $mode ] && has ".modes[$other].sha256_ok=false" ||
				has ".modes[$other].sha256_ok=true"
		done
	done
	broken submit:$((mode + 1)) "$dir/page" 'request 0 ended after 0 of 4096 bytes'
	[ -s "$dir/json" ] && wrong "prints figures"
	broken end:$((mode + 2)) "$dir/page" 'became shorter'
	[ -s "$dir/json" ] && wrong "prints figures"
done

broken destroy:1 "$dir/page" '1 IOVA ranges are still live'
has .leaks=1
has .sha256_ok=true
broken map:1 "$dir/file" 'cannot map the source'
broken map:2 "$dir/file" 'cannot map the source'
broken map:4 "$dir/file" 'cannot map the destination'
exit $status

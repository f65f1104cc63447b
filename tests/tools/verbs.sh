#!/bin/sh
# SPDX-License-Identifier: MIT
# verbs.sh TWOSTEP JSON_LEAVES
# Help, version, exit codes, and a sentence for whatever is misused.
set -u
twostep=$1
leaves=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0

wrong() {
	echo "$*"
	status=1
}

# expect CODE ARGUMENT...: nothing on stderr if it is done; else nothing but one sentence there.
expect() {
	code=$1
	shift
	"$twostep" "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	[ $got = "$code" ] || wrong "twostep $*: exit code $got, not $code"
	if [ "$code" = 0 ]; then
		[ -s "$dir/err" ] && wrong "twostep $*: says $(cat "$dir/err")"
		[ -s "$dir/out" ] || wrong "twostep $*: prints nothing"
	else
		[ -s "$dir/out" ] && wrong "twostep $*: prints figures although it fails"
		[ "$(wc -l <"$dir/err")" = 1 ] || wrong "twostep $*: says $(cat "$dir/err")"
		grep -q '^twostep: ' "$dir/err" || wrong "twostep $*: says $(cat "$dir/err")"
	fi
}

expect 0 help
for verb in help version demo bench devices bind unbind; do
	grep -q "^  $verb " "$dir/out" || wrong "help does not list $verb"
done
for verb in help version demo bench devices bind unbind; do
	expect 0 $verb --help
	grep -q "^usage: twostep $verb" "$dir/out" || wrong "$verb --help tells no usage"
	cp "$dir/out" "$dir/help"
	expect 0 help $verb
	cmp -s "$dir/out" "$dir/help" || wrong "help $verb differs from $verb --help"
done
for verb in version demo bench devices; do
	"$twostep" $verb --help | grep -q -- '--json' || wrong "$verb has no --json"
done
expect 0 --help
expect 0 --version
expect 0 version --json
"$leaves" <"$dir/out" >"$dir/leaves" || wrong "version --json is no JSON"
grep -q '^\.version="[0-9]' "$dir/leaves" || wrong "version --json has no version"

expect 2
expect 2 nonsense
grep -q "'nonsense'" "$dir/err" || wrong "the verb that does not exist is not named"
expect 2 --nonsense
expect 2 help nonsense
expect 2 help demo bench
expect 2 version extra
expect 2 demo --nonsense
grep -q -- "'--nonsense'" "$dir/err" || wrong "the option that does not exist is not named"
expect 2 demo -x
expect 2 demo --device
expect 2 demo --json=yes
expect 2 demo --jso
expect 2 demo one two
expect 2 bench operand
for runs in 8 1000 -9 9x '' 99999999999999999999999; do
	expect 2 bench --runs "$runs"
done
expect 2 bench --filter no-such-figure --short
for verb in bind unbind; do
	expect 2 $verb
	expect 2 $verb --nonsense 00:01.0
	expect 2 $verb 00:01.0 00:02.0
	expect 1 $verb nonsense
	grep -q '"nonsense" is no PCI address' "$dir/err" || wrong "$verb: the address is not told"
	expect 1 $verb ffff:ff:1f.7
	grep -q 'ffff:ff:1f.7' "$dir/err" || wrong "$verb: what is missing is not told"
done
expect 2 devices --open
expect 2 devices --open --sysfs / 00:01.0

if [ -w /dev/full ]; then
	"$twostep" help >/dev/full 2>"$dir/err"
	[ $? = 1 ] || wrong "a full disk is no failure"
	grep -q 'standard output' "$dir/err" || wrong "a full disk gets no sentence"
fi
exit $status

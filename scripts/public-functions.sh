#!/bin/sh
# SPDX-License-Identifier: MIT
# public-functions.sh INCLUDE-DIR COMPILER...
# The functions that the public headers declare for linking, one a line, sorted.
set -eu

include=$1
shift
[ $# -gt 0 ] || set -- cc

for header in "$include"/twostep/*.h; do
	echo "#include <twostep/${header##*/}>"
done | "$@" -std=gnu17 -E -I"$include" -D'__attribute__(x)=' -xc - | awk '
	# Line markers tell which lines come from our headers.
	/^# [0-9]+ "/ { ours = index($3, "/twostep/") > 0; next }
	ours { text = text " " $0 }

	function declared(statement) {
		if (statement ~ /^ *(typedef|static)/ || !match(statement, /[A-Za-z_][A-Za-z_0-9]* *\(/))
			return
		statement = substr(statement, RSTART, RLENGTH)
		sub(/ *\($/, "", statement)
		print statement
	}

	END {
		depth = 0
		statement = ""
		for (i = 1; i <= length(text); i++) {
			c = substr(text, i, 1)
			if (c == "{") {
				depth++
			} else if (c == "}") {
				# A body ends a function; a struct goes on to its semicolon.
				if (!--depth && statement ~ /\) *$/)
					statement = ""
			} else if (!depth && c == ";") {
				declared(statement)
				statement = ""
			} else if (!depth) {
				statement = statement c
			}
		}
	}' | sort -u

#!/bin/sh
# SPDX-License-Identifier: MIT
# examples.sh SOURCE-ROOT BUILD-ROOT COMPILER...
# Each example is printed in the documentation as it is in its file, and does what is printed
# there. In a page, `<!-- examples/NAME.c -->` stands before the program and
# `<!-- run examples/NAME.c -->` before a console block: commands behind `$ `, and what they say.
# The other C blocks of a page, one behind the other, compile.
set -eu

root=$1
build=$2
shift 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

wrong() {
	echo "$*"
	status=1
}

# block MARK PAGE: the fenced block behind the line MARK.
block() {
	awk -v mark="$1" '
		found && /^```/ { if (inside) exit; inside = 1; next }
		inside { print }
		$0 == mark { found = 1 }' "$2"
}

# An installed library, and the compiler under the name that the pages use.
meson install -C "$build" --no-rebuild --destdir "$scratch/root" >"$scratch/log" 2>&1 || {
	cat "$scratch/log"
	exit 1
}
PKG_CONFIG_PATH=$(dirname "$(find "$scratch/root" -name twostep.pc)")
PKG_CONFIG_SYSROOT_DIR=$scratch/root
LD_LIBRARY_PATH=$(dirname "$(find "$scratch/root" -name libtwostep.a)")
mkdir "$scratch/bin"
compiler=$(command -v "$1")
shift
printf '#!/bin/sh\nexec %s -Wall -Wextra -Wshadow -Wconversion -Werror "$@"\n' "$compiler $*" \
	>"$scratch/bin/cc"
chmod +x "$scratch/bin/cc"
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR

printed=0
for page in "$root/README.md" "$root"/docs/*.md; do
	sed -n 's/^<!-- \(examples\/[a-z0-9_-]*\.c\) -->$/\1/p' "$page" >"$scratch/examples"
	while read -r example; do
		printed=$((printed + 1))
		name=$(basename "$example" .c)
		mkdir "$scratch/$name"
		block "<!-- $example -->" "$page" >"$scratch/$name/$name.c"
		diff -u "$root/$example" "$scratch/$name/$name.c" ||
			wrong "$example is not what $page prints"
		block "<!-- run $example -->" "$page" >"$scratch/session"
		grep '^\$ ' "$scratch/session" | sed 's/^\$ //' >"$scratch/commands"
		grep -v '^\$ ' "$scratch/session" >"$scratch/expected"
		[ -s "$scratch/commands" ] || wrong "$page does not say how to run $example"
		(
			cd "$scratch/$name"
			PATH=$scratch/bin:$PATH
			export PATH LD_LIBRARY_PATH
			sh -eu "$scratch/commands" </dev/null
		) >"$scratch/said" 2>&1 || wrong "$example, as $page says to run it, fails"
		diff -u "$scratch/expected" "$scratch/said" ||
			wrong "$example does not say what $page prints"
	done <"$scratch/examples"
done
for page in "$root/README.md" "$root"/docs/*.md; do
	awk '/^<!-- examples\// { skip = 1 }
		/^```/ { if (inside || !/^```c$/) { inside = 0 } else { inside = !skip; skip = 0 }; next }
		inside { print }' "$page" >"$scratch/blocks.c"
	# shellcheck disable=SC2046  # pkg-config prints words
	"$scratch/bin/cc" -fsyntax-only $(pkg-config --cflags twostep) "$scratch/blocks.c" ||
		wrong "the C blocks of $page do not compile"
done
for example in "$root"/examples/*.c; do
	grep -qxF "<!-- examples/$(basename "$example") -->" "$root/README.md" "$root"/docs/*.md ||
		wrong "$example is printed nowhere"
done
[ "$printed" -gt 0 ] || wrong "no page prints an example"

# The first program is short enough to be read at once.
[ "$(wc -l <"$root/examples/first.c")" -le 30 ] || wrong "examples/first.c has more than 30 lines"
exit $status

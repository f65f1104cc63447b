#!/bin/sh
# SPDX-License-Identifier: MIT
# references.sh SOURCE-ROOT
# What the documentation points to is there: files and headings behind links, files of the
# repository named in code, functions, make targets.
# shellcheck disable=SC2016  # backquotes of Markdown
set -eu

cd "$1"
status=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

wrong() {
	echo "$*"
	status=1
}

# The anchor that a heading gets: lower case, blanks to hyphens, no other punctuation.
anchors_of() {
	sed -n 's/^##* //p' "$1" | tr 'A-Z ' 'a-z-' | sed 's/[^a-z0-9_-]//g'
}

# Code is no text with links.
text_of() {
	awk '/^```/ { code = !code; next } !code && !/^    /' "$1"
}

for page in README.md docs/*.md; do
	folder=$(dirname "$page")

	text_of "$page" | grep -oE '\]\([^)]*\)' | sed 's/^](//; s/)$//' | sort -u >"$scratch/links" || true
	while read -r link; do
		case $link in
		http://* | https://* | mailto:*) continue ;;
		esac
		file=${link%%#*}
		target=$folder/$file
		[ -n "$file" ] || target=$page
		if [ ! -e "$target" ]; then
			wrong "$page: no file behind the link $link"
			continue
		fi
		case $link in
		*#*) anchors_of "$target" | grep -qxF "${link#*#}" ||
			wrong "$page: no heading behind the link $link" ;;
		esac
	done <"$scratch/links"

	# Files named in code, from the root of the repository; a folder ends with a slash, and a
	# pattern is fine if it matches.
	text_of "$page" | grep -oE '`(src|include|tests|tools|docs|examples|scripts)/[^` ]*`' |
		tr -d '\140' | sort -u >"$scratch/files" || true
	while read -r file; do
		case $file in
		*'<'*) continue ;;
		esac
		# shellcheck disable=SC2046  # a pattern
		set -- $(echo "$file" | sed 's/{[^}]*}/*/g')
		[ -e "$1" ] || wrong "$page: there is no $file"
	done <"$scratch/files"

	# Functions, types and constants of the public interface.
	grep -oE '\b(dma|ts)_[a-z0-9_]+\(\)' "$page" | tr -d '()' | sort -u >"$scratch/functions" || true
	while read -r function; do
		grep -qrwF "$function" include || wrong "$page: there is no $function()"
	done <"$scratch/functions"
	grep -oE '`(DMA|TS)_[A-Z0-9_]+`' "$page" | tr -d '\140' | sort -u >"$scratch/constants" || true
	while read -r constant; do
		grep -qrwF "$constant" include || wrong "$page: there is no $constant"
	done <"$scratch/constants"

	grep -oE '`make [a-z-]+' "$page" | sed 's/^.make //' | sort -u >"$scratch/targets" || true
	while read -r target; do
		grep -qE "^$target:" Makefile || wrong "$page: there is no make $target"
	done <"$scratch/targets"
done
exit $status

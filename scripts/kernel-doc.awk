# SPDX-License-Identifier: MIT
# The kernel-doc comments of one C header, as Markdown.

# Markup of kernel-doc to markup of Markdown.
function marked(text) {
	gsub(/``/, "`", text)
	text = quoted(text, "@[a-z_][A-Za-z_0-9]*", 1)
	text = quoted(text, "%[A-Za-z_][A-Za-z_0-9]*", 1)
	text = quoted(text, "&(struct |enum )?[a-z_][a-z_0-9]*", 1)
	return text
}

function quoted(text, pattern, drop, done) {
	done = ""
	while (match(text, pattern)) {
		done = done substr(text, 1, RSTART - 1) "`" substr(text, RSTART + drop, RLENGTH - drop) "`"
		text = substr(text, RSTART + RLENGTH)
	}
	return done text
}

function print_body(first, i, line, literal) {
	if (first > lines)
		return
	while (first <= lines && comment[first] == "")
		first++
	for (i = first; i <= lines; i++) {
		line = comment[i]
		if (line ~ /^[^ \t]/)
			literal = line ~ /::$/
		sub(/::$/, ":", line)
		if (literal && line ~ /^[ \t]/) {
			sub(/^\t/, "", line)
			print "    " line
			continue
		} else if (line ~ /^@[a-z_][a-z_0-9]*:/) {
			sub(/^@/, "", line)
			match(line, /:/)
			line = "- `" substr(line, 1, RSTART - 1) "`" substr(line, RSTART)
		} else if (line ~ /^[ \t]+/) {
			sub(/^[ \t]+/, "  ", line)
		} else if (line ~ /^Return:/) {
			sub(/^Return:/, "**Return:**", line)
		}
		print marked(line)
	}
	print ""
}

# The comment's first line names what it is about; without a name, the declaration does.
function print_entry(name, said, at) {
	name = ""
	said = comment[1]
	at = index(said, " - ")
	if (at) {
		name = substr(said, 1, at - 1)
		said = substr(said, at + 3)
	} else if (match(declaration, /^#define [A-Za-z_0-9]+/)) {
		name = substr(declaration, 9, RLENGTH - 8)
	} else if (match(declaration, /^(enum|struct) [a-z_0-9]+/)) {
		name = substr(declaration, 1, RLENGTH)
	}
	print "## " name "\n"
	print marked(toupper(substr(said, 1, 1)) substr(said, 2)) "\n"
	print "```c\n" declaration "\n```\n"
	print_body(2)
}

function comment_line(text) {
	sub(/^[ \t]*\*+\/?/, "", text)
	sub(/^[ ]/, "", text)
	sub(/[ \t]*\*\/[ \t]*$/, "", text)
	comment[++lines] = text
}

function comment_ends() {
	# Blank lines at the end are the closing mark's.
	while (lines && comment[lines] == "")
		lines--
	while (lines && comment[1] == "") {
		for (i = 1; i < lines; i++)
			comment[i] = comment[i + 1]
		lines--
	}
	state = "declaration"
	declaration = ""
	if (comment[1] ~ /^DOC:/) {
		sub(/^DOC: */, "", comment[1])
		print "# " toupper(substr(comment[1], 1, 1)) substr(comment[1], 2) "\n"
		print_body(2)
		state = ""
	}
}

# A declaration is complete at its semicolon outside braces, a macro at its last line, and of
# an inline function only the head is told.
function declaration_line(text, opened, closed) {
	if (text == "{" && declaration ~ /\)$/) {
		declaration = declaration ";"
		print_entry()
		state = ""
		return
	}
	declaration = declaration (declaration == "" ? "" : "\n") text
	opened = gsub(/{/, "{", text)
	closed = gsub(/}/, "}", text)
	depth += opened - closed
	sub(/[ \t]*\/\*.*\*\/[ \t]*$/, "", text)
	if (depth)
		return
	if (declaration ~ /^#/ ? text !~ /\\$/ : text ~ /;$/) {
		print_entry()
		state = ""
	}
}

/^\/\*\*/ && state != "comment" {
	lines = 0
	depth = 0
	text = $0
	sub(/^\/\*\*/, "", text)
	one_line = text ~ /\*\//
	comment_line(text)
	state = "comment"
	if (one_line)
		comment_ends()
	next
}
state == "comment" {
	comment_line($0)
	if ($0 ~ /\*\//)
		comment_ends()
	next
}
state == "declaration" { declaration_line($0) }

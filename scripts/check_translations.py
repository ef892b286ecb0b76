#!/usr/bin/env python3
"""Fails when a Chinese document says something else than its English one: other headings, tables, code or numbers.

Compared: levels of the headings, code blocks line by line without comments, columns of each table row, the `code` of the
text and the numbers of the tables. What is not prose has to be the same in both.
"""

import collections
import re
import sys

import source_tree

# Users' documents. The others (architecture, dependencies, the generated config) are English only.
TRANSLATED = ["README.md", "docs/launch.md", "docs/memory.md", "docs/outputs.md", "docs/watchdog.md", "docs/checkpoints.md"]
CODE = re.compile(r"`([^`]+)`")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def parts(text):
    """Headings' levels, code lines, table rows and the rest of a Markdown text, each with its line number."""
    headings, code, rows, prose = [], [], [], []
    fenced, before_blank = False, True
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or (line.startswith("    ") and (before_blank or (code and code[-1][0] == number - 1))):
            bare = re.sub(r"(^|\s)#\s.*", "", line).split()
            if bare:
                code.append((number, " ".join(bare)))
            else:
                code.append((number, ""))
        elif line.startswith("#"):
            headings.append((number, len(line) - len(line.lstrip("#"))))
        elif line.startswith("|"):
            rows.append((number, line))
        else:
            prose.append((number, line))
        before_blank = not line.strip()
    return headings, [c for c in code if c[1]], rows, prose


def row_facts(line):
    """What a table row has to keep: its columns, and the numbers outside of code."""
    return line.count("|"), tuple(sorted(NUMBER.findall(CODE.sub("", line))))


def code_words(rows, prose):
    """The `code` outside of blocks; a page and its translation count as one name."""
    return collections.Counter(w.replace(".zh-CN", "") for _, line in [*rows, *prose] for w in CODE.findall(line))


def first_difference(name, what, ours, theirs):
    for (number, mine), (other, theirs_value) in zip(ours, theirs):
        if mine != theirs_value:
            return [f"{name}:{number}: {what} differs from line {other} of the English text: {mine} and {theirs_value}"]
    if len(ours) != len(theirs):
        return [f"{name}:1: {len(ours)} of {what}, but {len(theirs)} in the English text"]
    return []


def compare(name, chinese, english):
    """Findings about one pair of texts."""
    a, b = parts(chinese), parts(english)
    found = first_difference(name, "the heading's level", a[0], b[0])
    found += first_difference(name, "the code", a[1], b[1])
    found += first_difference(name, "the table row (columns, numbers)", [(n, row_facts(r)) for n, r in a[2]],
                              [(n, row_facts(r)) for n, r in b[2]])
    ours, theirs = code_words(a[2], a[3]), code_words(b[2], b[3])
    for word in (theirs - ours).keys() | (ours - theirs).keys():
        found.append(f"{name}:1: `{word}` occurs {ours[word]} times, but {theirs[word]} times in the English text")
    return found


def check(root):
    names, findings = {f.as_posix() for f in source_tree.files(root)}, []
    for english in TRANSLATED:
        chinese = english.replace(".md", ".zh-CN.md")
        if english in names and chinese in names:
            findings += compare(chinese, source_tree.read(root, chinese), source_tree.read(root, english))
        elif english in names:
            findings.append(f"{english}:1: has no {chinese}")
    for name in names:
        if name.endswith(".zh-CN.md") and name.replace(".zh-CN.md", ".md") not in TRANSLATED:
            findings.append(f"{name}:1: is in no list of scripts/check_translations.py")
    return findings, len(TRANSLATED)


if __name__ == "__main__":
    source_tree.finish("check_translations", *check(source_tree.root_argument(__doc__).parse_args(sys.argv[1:]).root))

#!/usr/bin/env python3
"""Writes the rows of flags and effects in docs/config.md and tests/config/flags.txt from the program's table.

Rows that exist keep the test they name; new rows name the test given by --test, which the developer
checks. Use after adding or changing a flag:

    build-cpu-release/src/config/config_peer_tool rows | tests/config/update_docs.py --test TaskFileTest.X
"""
import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

parser = argparse.ArgumentParser()
parser.add_argument("--test", default="", help="test named by new rows")
options = parser.parse_args()

flags, aliases, effects = {}, [], ""
for line in sys.stdin.read().splitlines():
    if line.startswith("# "):
        effects += line[2:] + "\n"
    elif "\t" in line:
        name, row = line.split("\t", 1)
        flags[name] = row
    else:
        aliases.append(tuple(line.split(" = ")))

docs = ROOT / "docs/config.md"
head, flags_part = docs.read_text().split("## Flags\n", 1)
table = re.search(r"(\| flag \|.*\n\|---\|---\|---\|---\|\n)((?:\| `--.*\n)+)", flags_part)
tests = {re.match(r"\| `--(\w+)`", row).group(1): row.rsplit(" | ", 1)[1] for row in table.group(2).splitlines()}
rows = ""
for name, row in flags.items():
    if name not in tests and not options.test:
        sys.exit(f"[update_docs] --{name} is new: got no --test. Name the test that shows its effect.")
    rows += f"{row} | {tests.get(name, options.test + ' |')}\n"
flags_part = flags_part[:table.start(2)] + rows + flags_part[table.end(2):]
others = re.search(r"(\| other name \| means \|\n\|---\|---\|\n)((?:\| `--.*\n)+)", flags_part)
names = "".join(f"| `--{alias}` | `--{name}` |\n" for alias, name in aliases)
flags_part = flags_part[:others.start(2)] + names + flags_part[others.end(2):]
table = re.search(r"(\| field \| memory \| speed \|\n\|---\|---\|---\|\n)((?:\| `.*\n)*)", head)
head = head[:table.start(2)] + effects + head[table.end(2):]
docs.write_text(head + "## Flags\n" + flags_part)
(ROOT / "tests/config/flags.txt").write_text(
    "".join(f"{name}\n" for name in flags) + "".join(f"{alias} = {name}\n" for alias, name in aliases))

"""Shared by the tests: the command lines that the documents show, as written there."""

import pathlib
import re

PROGRAMS = ("zt", "./zt", "torchrun", "srun", "mpirun", "deepspeed", "accelerate", "python", "python3", "export", "until")


def blocks(text):
    """(line number, line) of indented and fenced code, continuation lines joined."""
    fenced, joined, begun = False, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
            continue
        if not fenced and not line.startswith("    "):
            joined = ""
            continue
        begun = begun if joined else number
        joined += line.strip() if not joined else " " + line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1].strip()
            continue
        yield begun, joined
        joined = ""


def is_command(line):
    words = re.sub(r"^([A-Z_]+=\S* +)*", "", line).split()
    if not words or re.search(r"\[[-a-zA-Z]", line):  # a usage, with optional parts
        return False
    return words[0] in PROGRAMS or (words[0].startswith("scripts/") and len(words) > 0)


def commands(root):
    """(place, command) of every document that users read; comments behind commands are dropped."""
    root = pathlib.Path(root)
    found = []
    for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        if path.name.endswith(".zh-CN.md"):
            continue
        for number, line in blocks(path.read_text(encoding="utf-8")):
            command = re.sub(r"\s+#\s.*|\s{3,}.*", "", line).strip()  # what a command does may follow in a column
            if is_command(command):
                found.append((f"{path.relative_to(root)}:{number}", command))
    return found

#!/usr/bin/env python3
"""Runs clang-tidy (.clang-tidy, warnings are errors) on every C++ file of a configured build.

    lint.py <build folder> [--jobs 2] [NAME...]     NAME: only files whose path has it in it

A file that passed is not looked at again until it, a header of this project that it includes, its compiler flags,
.clang-tidy or clang-tidy itself changes; what passed is noted in <build folder>/lint-passed. The folder has to be
configured with Clang (preset lint), not built.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import source_tree

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


class Tree:
    """Hashes of source files together with the headers of this project that they include."""

    def __init__(self, root):
        self.roots = [root / "src", root / "include", root]

    @functools.lru_cache(maxsize=None)
    def included(self, path):
        """The files that `path` includes by name, of this project."""
        names = INCLUDE.findall(path.read_text(encoding="utf-8", errors="replace"))
        found = []
        for name in names:
            places = [folder / name for folder in (path.parent, *self.roots)]
            found += [place for place in places if place.is_file()][:1]
        return found

    @functools.lru_cache(maxsize=None)
    def content(self, path):
        return hashlib.sha256(path.read_bytes()).digest()

    def digest(self, path, *more):
        seen, todo = set(), [path]
        while todo:
            file = todo.pop().resolve()
            if file not in seen:
                seen.add(file)
                todo += self.included(file)
        parts = [str(file).encode() + self.content(file) for file in sorted(seen)]
        return hashlib.sha256(b"\0".join([*parts, *(text.encode() for text in more)])).hexdigest()


def tidy(program, build, path):
    """Output of one run; empty when there is nothing to say."""
    result = subprocess.run([program, "-p", str(build), "--quiet", str(path)], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return ""
    lines = [line for line in result.stdout.splitlines() + result.stderr.splitlines()
             if not re.match(r"\d+ warnings? (generated|treated)", line)]
    return "\n".join(lines) or f"clang-tidy ended with {result.returncode}"


def main():
    parser = source_tree.root_argument(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_intermixed_args()  # names may follow an option
    root, build = arguments.root.resolve(), arguments.build.resolve()
    program = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    if program is None:
        sys.exit("[lint] no clang-tidy found. Run scripts/setup.sh --full.")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    rules = (root / ".clang-tidy").read_text(encoding="utf-8")
    passed = build / "lint-passed"
    passed.mkdir(exist_ok=True)
    tree, todo, total = Tree(root), [], 0
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = pathlib.Path(os.path.join(entry["directory"], entry["file"])).resolve()
        if build in path.parents or (arguments.names and not any(name in str(path) for name in arguments.names)):
            continue
        total += 1
        mark = passed / tree.digest(path, entry["command"], rules, version)
        if not mark.exists():
            todo.append((path, mark))
    findings, begun = [], time.monotonic()

    def look(item):
        path, mark = item
        text = tidy(program, build, path)
        if not text:
            mark.touch()
        return path, text

    print(f"[lint] {total} files, {len(todo)} to look at", flush=True)
    with concurrent.futures.ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
        for path, text in pool.map(look, todo):
            if text:
                findings.append(path)
                print(f"{path.relative_to(root)}:\n{text}", flush=True)
    print(f"[lint] {total} files, {len(todo)} looked at in {time.monotonic() - begun:.0f} s, {len(findings)} with findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()

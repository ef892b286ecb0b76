#!/usr/bin/env python3
"""scripts/lint.py reports what clang-tidy reports, and looks again only at what has changed."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Stands for clang-tidy: complains about the word BAD in the file, and notes which files it was given.
STUB = """#!/bin/sh
if [ "$1" = --version ]; then echo version 14; exit 0; fi
for last; do :; done
echo "$last" >>"$(dirname "$0")/calls"
if grep -q BAD "$last"; then echo "$last:1:1: error: BAD"; exit 1; fi
"""
failures = 0


def report(what, good, detail=""):
    global failures
    failures += not good
    print(f"{'PASS' if good else 'FAIL'} {what} {'' if good else detail}")


class Tree:
    """A project of two sources, one of which includes a header through another, and its configured build."""

    def __init__(self, root):
        self.root, self.tools = root, root / "tools"
        self.write("src/base/deep.h", "int deep();\n")
        self.write("src/base/a.h", '#include "base/deep.h"\n')
        self.write("src/base/a.cpp", '#include "base/a.h"\n')
        self.write("src/base/b.cpp", "int b();\n")
        self.write(".clang-tidy", (ROOT / ".clang-tidy").read_text(encoding="utf-8"))
        self.write("tools/clang-tidy-14", STUB)
        (self.tools / "clang-tidy-14").chmod(0o755)
        sources = [str(root / "src" / "base" / name) for name in ("a.cpp", "b.cpp")]
        self.write("build/compile_commands.json", json.dumps(
            [{"directory": str(root / "build"), "file": path, "command": f"clang++ -std=c++20 -I{root}/src -c {path}"}
             for path in sources]))

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def lint(self, path=None, more=()):
        """Exit status, output, and names of the files that the stub was given."""
        calls = self.tools / "calls"
        calls.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / "lint.py", "--root", self.root, self.root / "build", *more], check=False,
            capture_output=True, text=True, env=os.environ | {"PATH": path or f"{self.tools}:{os.environ['PATH']}"})
        seen = calls.read_text(encoding="utf-8").split() if calls.exists() else []
        return done.returncode, done.stdout + done.stderr, sorted(pathlib.Path(name).name for name in seen)


def with_stub(tree):
    status, output, seen = tree.lint(more=("--jobs", "1", "b.cpp"))
    report("a name chooses files", (status, seen) == (0, ["b.cpp"]), output)
    tree.write("src/base/b.cpp", "int c();\n")
    status, output, seen = tree.lint()
    report("every file is looked at", (status, seen) == (0, ["a.cpp", "b.cpp"]), output)
    status, output, seen = tree.lint()
    report("what passed is not looked at again", (status, seen) == (0, []), output)
    tree.write("src/base/deep.h", "int deeper();\n")
    status, output, seen = tree.lint()
    report("a header's change counts for its includers alone", (status, seen) == (0, ["a.cpp"]), output)
    tree.write("src/base/b.cpp", "int BAD;\n")
    for what in ("a finding is reported", "and again the next time"):
        status, output, seen = tree.lint()
        report(what, status == 1 and seen == ["b.cpp"] and "b.cpp:1:1: error: BAD" in output, output)
    tree.write("src/base/b.cpp", "int b();\n")
    status, output, seen = tree.lint()
    report("a file as it passed before has passed", (status, seen) == (0, []), output)
    tree.write(".clang-tidy", "Checks: '-*'\n")
    status, output, seen = tree.lint()
    report("other rules look at everything", (status, seen) == (0, ["a.cpp", "b.cpp"]), output)


def with_clang_tidy(tree):
    """The project's own rules flag a mutable global variable and a method's name."""
    if not (shutil.which("clang-tidy-14") or shutil.which("clang-tidy")):
        print("no clang-tidy here: the rules themselves were not tried")
        return
    tree.write("src/base/a.cpp", "int counter = 0;\nint CountUp() { return ++counter; }\n")
    status, output, _ = tree.lint(os.environ["PATH"])
    report("a mutable global is found", status == 1 and "cppcoreguidelines-avoid-non-const-global-variables" in output, output)
    report("a name in the wrong case is found", "readability-identifier-naming" in output, output)


def main():
    for part in (with_stub, with_clang_tidy):
        with tempfile.TemporaryDirectory() as folder:
            part(Tree(pathlib.Path(folder)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Fails when clang-format 14 would change a C++ or CUDA file. With --fix it changes them."""

import os
import pathlib
import shutil
import subprocess
import sys

import source_tree


def find_formatter():
    """clang-format 14: beside this interpreter (requirements-test.txt) or on PATH; other versions differ."""
    beside = pathlib.Path(sys.executable).parent / "clang-format"
    for candidate in [str(beside), shutil.which("clang-format-14"), shutil.which("clang-format")]:
        if candidate and os.access(candidate, os.X_OK):
            version = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout
            if "version 14." in version:
                return candidate
    sys.exit("[check_format] no clang-format 14 found. Run scripts/setup.sh --tests.")


def main():
    parser = source_tree.root_argument(__doc__)
    parser.add_argument("--fix", action="store_true")
    arguments = parser.parse_args()
    names = source_tree.cpp_files(arguments.root, (".h", ".cpp", ".cu", ".cuh"))
    mode = ["-i"] if arguments.fix else ["--dry-run", "-Werror"]
    findings = []
    for start in range(0, len(names), 40):
        result = subprocess.run([find_formatter(), "--style=file", *mode, *map(str, names[start:start + 40])],
                                cwd=arguments.root, capture_output=True, text=True, check=False)
        findings += [line for line in result.stderr.splitlines() if ": error: " in line]
        if result.returncode != 0 and not findings:
            findings.append(result.stderr.strip())
    source_tree.finish("check_format", findings, len(names))


if __name__ == "__main__":
    main()

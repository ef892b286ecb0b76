#!/usr/bin/env python3
"""Fails when a header does not compile alone: public headers, with --all every header of src/ too."""

import concurrent.futures
import os
import subprocess
import sys

import source_tree

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wshadow", "-Wno-missing-field-initializers"]


def compile_alone(root, name, torch_root):
    """The compiler's first error for one header, or None."""
    includes = ["-Isrc", "-Iinclude", "-I."]
    if torch_root:
        includes += ["-isystem", f"{torch_root}/include", "-isystem", f"{torch_root}/include/torch/csrc/api/include"]
    # Included from standard input: a header that is itself the main file warns about #pragma once.
    command = [os.environ.get("CXX", "g++"), "-std=c++20", "-fsyntax-only", "-DFMT_HEADER_ONLY=1",
               "-DUSE_DISTRIBUTED", "-DUSE_C10D_GLOO", *WARNINGS, *includes, "-x", "c++", "-"]
    result = subprocess.run(command, input=f'#include "{(root / name).resolve()}"\n', cwd=root,
                            capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return None
    lines = [line for line in result.stderr.splitlines() if "error" in line] or [result.stderr]
    return f"{name}: does not compile alone: {lines[0]}"


def needs_cuda(text):
    return "<cuda" in text or "<nccl" in text or "c10/cuda" in text


def main():
    parser = source_tree.root_argument(__doc__)
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    folders = ("include", "src", "testing") if arguments.all else ("include",)
    names = [f for f in source_tree.cpp_files(arguments.root, (".h",)) if f.parts[0] in folders]
    names = [f for f in names if not needs_cuda(source_tree.read(arguments.root, f))]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        torch_root = os.environ.get("ZT_TORCH_ROOT", "")
        results = pool.map(lambda f: compile_alone(arguments.root, f, torch_root), names)
        findings = [r for r in results if r]
    source_tree.finish("check_headers", findings, len(names))


if __name__ == "__main__":
    main()

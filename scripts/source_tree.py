"""What the check_*.py scripts share: the list of source files and how a finding is printed."""

import argparse
import os
import pathlib
import subprocess
import sys

SKIPPED_FOLDERS = {".git", "__pycache__", "node_modules"}


def root_argument(description):
    """Parses the arguments that every check has; --root lets the checks' own tests pass a small tree."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    return parser


def files(root):
    """Files of the tree that git does not ignore, as sorted paths relative to root."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"],
                            capture_output=True, check=False)
    if listed.returncode == 0:
        names = [pathlib.PurePosixPath(n) for n in listed.stdout.decode().split("\0") if n]
    else:
        names = []
        for folder, subfolders, leaves in os.walk(root):
            subfolders[:] = [s for s in subfolders if s not in SKIPPED_FOLDERS and not s.startswith("build")]
            base = pathlib.PurePosixPath(pathlib.Path(folder).relative_to(root).as_posix())
            names += [base / leaf for leaf in leaves]
    return sorted(n for n in set(names) if (root / n).is_file())


def cpp_files(root, suffixes=(".h", ".cpp", ".cu", ".cuh", ".inc")):
    """C++ and CUDA sources of the project."""
    return [f for f in files(root) if f.suffix in suffixes]


def read(root, name):
    """The text of one file; bytes that are no UTF-8 become replacement characters."""
    return (root / name).read_text(encoding="utf-8", errors="replace")


def finish(check, findings, count):
    """Prints the findings and ends the script with 1 when there are any."""
    for finding in findings:
        print(finding)
    print(f"[{check}] {count} files, {len(findings)} findings")
    sys.exit(1 if findings else 0)

"""Shared by the old names beside it: this process becomes `zt`."""

import os
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent


def find():
    """ZT, the program beside the scripts (a built repository, an installed tree), or the one on PATH."""
    named = os.environ.get("ZT")
    root = HERE.parents[1]
    built = [root / "zt", *sorted(root.glob("build-*/src/cli/zt")), root.parent.parent / "bin" / "zt"]
    candidates = [pathlib.Path(named)] if named else built
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    on_path = None if named else shutil.which("zt")
    if on_path:
        return on_path
    sys.exit(f"[compat.program] zt was not found{' as ' + named if named else ' beside the scripts or on PATH'}. "
             "Build it (./quickstart.sh), or set ZT to it.")


def become(command):
    """Replaces this process by `zt <command>` with the same arguments and environment."""
    program = find()
    os.execv(program, [program, command, *sys.argv[1:]])

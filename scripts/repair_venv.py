#!/usr/bin/env python3
"""Finds packages that an interrupted pip left incomplete in the environment this runs in.

Without arguments: forgets them (removes their metadata), so that the next `pip install` writes them
again. With --check: only reports; the exit status is 1 when something is incomplete.
"""

import os
import shutil
import sys
import sysconfig
from importlib import metadata


def missing_files(dist):
    """Paths that the package's RECORD lists and that are absent or of another size."""
    if dist.files is None:
        return ["RECORD"]
    bad = []
    for file in dist.files:
        if file.suffix == ".pyc":
            continue
        try:
            size = os.stat(dist.locate_file(file)).st_size
        except OSError:
            bad.append(str(file))
            continue
        if file.size is not None and file.size != size:
            bad.append(str(file))
    return bad


def main():
    site = sysconfig.get_paths()["purelib"]
    only_check = "--check" in sys.argv[1:]
    broken = 0
    for dist in metadata.distributions(path=[site]):
        bad = missing_files(dist)
        if not bad:
            continue
        broken += 1
        folder = dist._path  # the .dist-info folder; there is no public name for it
        print(f"[setup.venv] incomplete: {os.path.basename(folder)} ({len(bad)} files, first {bad[0]})")
        if not only_check:
            shutil.rmtree(folder)
    for name in os.listdir(site):  # pip renames a package to ~name while it replaces it
        if name.startswith("~") and not only_check:
            shutil.rmtree(os.path.join(site, name), ignore_errors=True)
    return 1 if only_check and broken else 0


if __name__ == "__main__":
    sys.exit(main())

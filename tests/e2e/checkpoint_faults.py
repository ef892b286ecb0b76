#!/usr/bin/env python3
"""Kills, torn writes, ENOSPC and EIO at random file operations of a 4-rank save; a seeded sample of 20.

Every restart resumes from the newest published checkpoint, never from an older one, and no published one is damaged.
tests/campaign/checkpoint_faults.py runs 300.
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

import _checkpoint_faults


def main():
    seed = int(os.environ.get("ZT_TEST_SEED", time.time_ns() % 1000000))
    with tempfile.TemporaryDirectory(prefix="zt-faults-") as folder:
        results = _checkpoint_faults.run_chain(Path(folder) / "run", random.Random(seed), 20)
    print(f"seed {seed}")
    return 1 if any(wrong for *_, wrong in results) else 0


if __name__ == "__main__":
    sys.exit(main())

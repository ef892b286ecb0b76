#!/usr/bin/env python3
"""tests/e2e/launch_kills.py with 30 rounds: 90 processes killed in the middle of training."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
os.environ.setdefault("ZT_KILL_ROUNDS", "30")

import launch_kills  # noqa: E402

if __name__ == "__main__":
    sys.exit(launch_kills.main())

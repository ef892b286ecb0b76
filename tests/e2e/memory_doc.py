#!/usr/bin/env python3
"""The tables of docs/memory.md are what `zt plan` prints (the smallest and a middle model)."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "zt")

if not pathlib.Path(PROGRAM).exists():
    print(f"FAIL no program at {PROGRAM}: build the target zt")
    sys.exit(1)
sys.exit(subprocess.run([sys.executable, str(ROOT / "scripts" / "make_memory_doc.py"), PROGRAM, "--check", "--models",
                         "Qwen3-0.6B", "Qwen3-8B"], check=False).returncode)

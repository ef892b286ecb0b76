#!/usr/bin/env python3
"""Ranks started by torchrun and by our own launcher meet, leave, and fail by name.

usage: torchrun_ranks.py [PATH_TO_dist_rank_probe] (default: in ZT_BUILD_DIR)
Prints PASS or FAIL per case; exits 1 on any failure.
"""
import os
import pathlib
import subprocess
import sys
import time

PROBE = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.environ["ZT_BUILD_DIR"], "tests/dist/dist_rank_probe")
TORCHRUN = [str(pathlib.Path(sys.executable).with_name("torchrun")), "--no-python",
            "--nproc-per-node", "2", "--master-port", "0", "--standalone", PROBE]
failures = 0


def check(name, condition, detail):
    global failures
    print(f"{'PASS' if condition else 'FAIL'} {name}" + ("" if condition else f"\n{detail}"))
    failures += not condition


def run(command):
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment,
                          check=False)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - start


for name, command in {"torchrun": TORCHRUN, "own launcher": [PROBE]}.items():
    code, text, _ = run([*command, "ok"])
    gathered = all(f"rank {rank} of 2 gathered 0 1" in text for rank in (0, 1))
    check(f"{name}: two ranks meet, gather and leave", code == 0 and gathered, text)
    code, text, seconds = run([*command, "throw"])
    # torchrun ends the other ranks at once, ours lets them say which rank failed first.
    told = "" if name == "torchrun" else "rank 1 failed first: "
    check(f"{name}: a rank's error ends the run and is reported",
          code != 0 and f"{told}[probe.read] shard 7 is damaged" in text, text)
    check(f"{name}: all ranks end within 30 s", seconds < 30, f"{seconds} s")

code, text, seconds = run([PROBE, "kill"])
check("own launcher: survivors name the killed rank, the status is 137",
      code == 137 and "rank 1 failed first: its process has ended" in text, f"{code}\n{text}")
check("own launcher: a killed rank ends the run within 30 s", seconds < 30, f"{seconds} s")
sys.exit(failures > 0)

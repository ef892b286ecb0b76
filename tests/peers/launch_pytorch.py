#!/usr/bin/env python3
"""`zt launch` starts a PyTorch program: its ranks meet over gloo, and torchrun's error report names what failed.

Uses ZT_BINARY (default ./zt).
"""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from _checks import Checks  # noqa: E402

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))
PROGRAM = """
import os, sys, torch, torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

@record
def main():
    dist.init_process_group("gloo")
    total = torch.tensor([dist.get_rank() + 1])
    dist.all_reduce(total)
    print("rank", os.environ["RANK"], "of", os.environ["WORLD_SIZE"], "sum", total.item(), flush=True)
    if len(sys.argv) > 1 and dist.get_rank() == 1:
        raise ValueError("batch 7 is empty")
    dist.barrier()
    dist.destroy_process_group()

main()
"""


def run(folder, *arguments):
    script = pathlib.Path(folder) / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    command = [ZT, "launch", "--nproc_per_node=2", "--log_dir", str(pathlib.Path(folder) / "logs"), sys.executable,
               str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr, (pathlib.Path(folder) / "logs" / "rank_1.log").read_text()


def main():
    with Checks.in_folder("launch") as (checks, folder):
        status, out, err, log = run(folder)
        checks.check(status == 0 and "rank 0 of 2 sum 3" in out, "a PyTorch program meets over the variables of zt launch", out + err)
        checks.check("rank 1 of 2 sum 3" in log and "rank 1" not in out, "rank 1 writes into its own log", log)
        status, out, err, _ = run(folder, "fail")
        last = err.strip().splitlines()[-1] if err.strip() else ""
        checks.check(status == 1 and "first failure: rank 1, exit code 1: ValueError: batch 7 is empty" in last,
                     "the last line has the program's own error", err)


if __name__ == "__main__":
    main()

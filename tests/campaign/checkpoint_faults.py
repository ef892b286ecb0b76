#!/usr/bin/env python3
"""300 faults (kill, torn write, ENOSPC, EIO) at random file operations of 4-rank saves, in chains of 30 runs, some of them
beside each other: a run waits for its disk most of the time.

Writes the table of results to the path in ZT_RESULT (default: nowhere). ZT_TEST_SEED repeats a campaign.
"""

import collections
import concurrent.futures
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import _checkpoint_faults

CHAINS, FAULTS, AT_ONCE = 10, 30, 3


def write(path, seed, results):
    faults = [r for r in results if isinstance(r[0], _checkpoint_faults.Fault)]
    ends = [r for r in results if r[0] is None]
    lines = ["# Faults in checkpoint saves: 4 CPU ranks", "",
             f"`ZT_TEST_SEED={seed} tests/campaign/checkpoint_faults.py`: {len(faults)} faults in {len(ends)} chains of runs. A trial",
             "passes when the run resumes from the newest published checkpoint, which verifies, and none is lost by the fault.",
             f"{sum(not r[2] for r in faults)} of {len(faults)} passed. At the end of {sum(not r[2] for r in ends)} of "
             f"{len(ends)} chains the checkpoint equals that of an",
             "undisturbed run bit for bit.", "", "| call | kill | tear | enospc | eio |", "|---|---|---|---|---|"]
    counts = collections.Counter((fault.call, fault.kind) for fault, _, wrong in faults if not wrong)
    for call in sorted({fault.call for fault, *_ in faults}):
        lines.append(f"| {call} | " + " | ".join(str(counts[call, kind]) for kind in _checkpoint_faults.KINDS) + " |")
    lines += [f"\nFAILED: {fault} {'; '.join(wrong)}" for fault, _, wrong in results if wrong]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def one_chain(seed, index):
    with tempfile.TemporaryDirectory(prefix="zt-faults-") as folder:
        return _checkpoint_faults.run_chain(Path(folder) / "run", random.Random(f"{seed}/{index}"), FAULTS)


def main():
    seed = int(os.environ.get("ZT_TEST_SEED", time.time_ns() % 1000000))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = [result for chain in pool.map(lambda index: one_chain(seed, index), range(CHAINS)) for result in chain]
    if os.environ.get("ZT_RESULT"):
        write(os.environ["ZT_RESULT"], seed, results)
    failed = sum(bool(r[2]) for r in results)
    print(f"seed {seed}: {failed} of {len(results)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

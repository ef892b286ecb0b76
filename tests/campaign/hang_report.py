#!/usr/bin/env python3
"""20 trials of each kind (SIGSTOP, SIGKILL, endless loop) into a random rank of a 4-rank run at a random step.

Writes the table of results to the path in ZT_RESULT (default: nowhere). ZT_TEST_SEED repeats a campaign.
"""

import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import hang_report

TRIALS_PER_KIND = 20


def write(path, seed, results):
    lines = ["# Hang reports: 4 CPU ranks, `--hang_timeout 3`", "",
             f"`ZT_TEST_SEED={seed} tests/campaign/hang_report.py`. A trial passes when the report names the injected rank and its",
             "operation, every other rank ends with exit code 4, and no process is left.", "",
             "| kind | trials | passed | others left after, s (median, worst) |", "|---|---|---|---|"]
    for kind in hang_report.KINDS:
        of_kind = [r for r in results if r[0] == kind]
        seconds = sorted(r[2] for r in of_kind)
        lines.append(f"| {kind} | {len(of_kind)} | {sum(not r[4] for r in of_kind)} | "
                     f"{seconds[len(seconds) // 2]:.1f}, {seconds[-1]:.1f} |")
    lines += ["", "| kind | rank | the report's operation | others left after, s | wrong |", "|---|---|---|---|---|"]
    lines += [f"| {kind} | {rank} | {place} | {seconds:.1f} | {'; '.join(wrong)} |"
              for kind, rank, seconds, place, wrong in results]
    pathlib.Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    seed = int(os.environ.get("ZT_TEST_SEED", time.time_ns() % 1000000))
    results = hang_report.run_trials(hang_report.sample(random.Random(seed), 3 * TRIALS_PER_KIND))
    if os.environ.get("ZT_RESULT"):
        write(os.environ["ZT_RESULT"], seed, results)
    print(f"seed {seed}: {sum(not r[4] for r in results)} of {len(results)} passed")
    return 1 if any(r[4] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())

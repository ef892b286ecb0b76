#!/usr/bin/env python3
"""tests/e2e/launch_kills.py with 30 rounds: 90 processes killed in the middle of training, then ten jobs at once.

Writes the table of results to the path in ZT_RESULT (default: nowhere). ZT_TEST_SEED repeats a campaign.
"""

import os
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
os.environ.setdefault("ZT_KILL_ROUNDS", "30")

import launch_kills  # noqa: E402


def write(seed, kills, jobs):
    if not os.environ.get("ZT_RESULT"):
        return
    wrong = [f"{victim}: {'; '.join(problems)}" for victim, _, _, problems in kills if problems]
    lines = ["# SIGKILL of the launcher, of rank 0 and of a middle rank: 3 CPU ranks", "",
             f"`ZT_TEST_SEED={seed} tests/campaign/launch_kills.py`, {os.cpu_count()} cores, load {os.getloadavg()[2]:.0f}. Three runs train at a",
             "time, and one process of each is killed. A trial passes when no process of the run is left 10 s later, wherever it hangs",
             "(found by a mark in its environment), the command did not succeed, and its last line names the killed rank as the first failure.",
             f"{len(kills) - len(wrong)} of {len(kills)} passed. {launch_kills.JOBS} jobs at once on the same machine: "
             + ("all trained to the same model." if not jobs else "; ".join(jobs)), "",
             "| killed | started by | trials | passed | nothing left after, s (median, worst) |", "|---|---|---|---|---|"]
    for victim in launch_kills.VICTIMS:
        for by_launch, starter in ((True, "zt launch"), (False, "zt train --nproc")):
            rows = [row for row in kills if row[0] == victim and row[1] == by_launch]
            times = [row[2] for row in rows if row[2] is not None]
            name = victim if victim == "launcher" else f"rank {victim}"
            spread = f"{statistics.median(times):.1f}, {max(times):.1f}" if times else "-"
            lines.append(f"| {name} | {starter} | {len(rows)} | {sum(not row[3] for row in rows)} | {spread} |")
    lines += [f"\nFAILED: {text}" for text in wrong]
    pathlib.Path(os.environ["ZT_RESULT"]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    launch_kills.main(write)

#!/usr/bin/env python3
"""A rank that is stopped, killed or in an endless loop: the report names it and its operation, the others leave.

A seeded sample of tests/campaign/hang_report.py: 6 injections into a run of 4 CPU ranks.
"""

import os
import pathlib
import random
import sys
import tempfile
import time

import _hang

KINDS = ["stop", "kill", "loop"]


def sample(random_source, count):
    """Every kind in turn, every rank before one comes twice; (kind, rank, first steps, delay)."""
    ranks = []
    for index in range(count):
        if not ranks:
            ranks = random_source.sample(range(4), 4)
        yield KINDS[index % 3], ranks.pop(), random_source.randint(1, 12), random_source.uniform(0, 0.1)


def run_trials(trials, verbose=True):
    """Prints a line per trial; returns a list of (kind, rank, seconds, place, wrong)."""
    results = []
    with tempfile.TemporaryDirectory(prefix="zt-hang-") as folder:
        inputs = pathlib.Path(folder) / "inputs"
        _hang.prepare(inputs)
        for index, (kind, victim, steps, delay) in enumerate(trials):
            trial = _hang.Trial(inputs, pathlib.Path(folder) / f"trial{index}")
            wrong, seconds, place = ["the run logged no steps"], 0.0, ""
            try:
                if trial.wait_for_steps(steps):
                    time.sleep(delay)
                    wrong, seconds, place = trial.inject(kind, victim)
            finally:
                trial.end()
            print(f"{'FAIL' if wrong else 'PASS'} {kind} rank {victim}: {place}; the others left after {seconds:.1f} s"
                  f" {'; '.join(wrong)}", flush=True)
            if wrong and verbose:
                print("\n".join("     | " + line for line in trial.stderr().splitlines()[-30:]))
            results.append((kind, victim, seconds, place, wrong))
    return results


def main():
    seed = int(os.environ.get("ZT_TEST_SEED", time.time_ns() % 1000000))
    results = run_trials(sample(random.Random(seed), 6))
    print(f"seed {seed}")
    return 1 if any(wrong for *_, wrong in results) else 0


if __name__ == "__main__":
    sys.exit(main())

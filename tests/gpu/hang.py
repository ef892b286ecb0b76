#!/usr/bin/env python3
"""Stop, kill and endless loop into each rank of a run on GPUs: the report names it, the others leave in time.

ZT_TRIALS rounds (default 1) over the three kinds and all ranks; ZT_WORLD ranks (default: all GPUs). Exit status 77 with
fewer than two GPUs. Uses ZT_BINARY and ZT_BUILD_DIR (for the preloaded test library).
"""

import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import _hang

LIMIT_S = 5


def num_gpus():
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return done.stdout.count("GPU ") if done.returncode == 0 else 0


def main():
    world = int(os.environ.get("ZT_WORLD", num_gpus()))
    if world < 2:
        print("needs two GPUs")
        return 77
    seed = int(os.environ.get("ZT_TEST_SEED", time.time_ns() % 1000000))
    source, failures = random.Random(seed), 0
    with tempfile.TemporaryDirectory(prefix="zt-hang-") as folder:
        inputs = pathlib.Path(folder) / "inputs"
        _hang.tiny.CONFIG.update(hidden_size=256, intermediate_size=512, num_attention_heads=4, num_key_value_heads=2,
                                 head_dim=64)
        _hang.prepare(inputs)
        trials = [(k, r) for _ in range(int(os.environ.get("ZT_TRIALS", "1"))) for k in _hang.SIGNALS for r in range(world)]
        for index, (kind, victim) in enumerate(trials):
            trial = _hang.Trial(inputs, pathlib.Path(folder) / f"trial{index}", world, LIMIT_S, extra=("--bf16", "True"))
            wrong, seconds, place = ["the run logged no steps"], 0.0, ""
            try:
                if trial.wait_for_steps(source.randint(1, 30)):
                    time.sleep(source.uniform(0, 0.1))
                    wrong, seconds, place = trial.inject(kind, victim)
            finally:
                trial.end()
            print(f"{'FAIL' if wrong else 'PASS'} {kind} rank {victim}: {place}; the others left after {seconds:.1f} s"
                  f" {'; '.join(wrong)}", flush=True)
            if wrong or index < 3:
                print("\n".join("     | " + line for line in trial.stderr().splitlines()[-25:]))
            failures += bool(wrong)
    print(f"seed {seed}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

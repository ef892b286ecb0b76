#!/usr/bin/env python3
"""A rank that dies takes the run down quickly, by name, and leaves no process; so does the launcher.

Starts `zt train --nproc 2` on a small model, waits until steps are logged, then kills one process
with SIGKILL in mid-step (or stops the launcher with SIGINT and SIGTERM).
Uses ZT_BINARY (default ./zt).
"""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import _tiny_model as tiny
from _processes import alive, descendants, rank_of, wait_until

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))
START_S, END_S = 60, 30


class Training:
    """A run of two ranks that would take hours, in a folder of its own."""

    def __init__(self, folder):
        tiny.CONFIG.update(hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=8)
        tiny.make(folder)
        self.metrics = folder / "out" / "metrics.jsonl"
        self.log = folder / "stderr.txt"
        arguments = ["train", "--model_name_or_path", folder / "model", "--train_file_dir", folder / "data" / "train",
                     "--output_dir", folder / "out", "--use_cpu", "True", "--nproc", "2", "--block_size", "128",
                     "--per_device_train_batch_size", "4", "--max_steps", "1000000", "--logging_steps", "1",
                     "--deepspeed", folder / "ds.json"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([ZT, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=os.environ | {"OMP_NUM_THREADS": "1"})
        self.pids = []

    def steps(self):
        return self.metrics.read_text(encoding="utf-8").count("\n") if self.metrics.exists() else 0

    def wait_for_steps(self, count):
        """False when the run ended or stood still instead."""
        begun = wait_until(lambda: self.steps() >= count or self.process.poll() is not None, START_S)
        self.pids = descendants(self.process.pid)
        return begun and self.process.poll() is None

    def stderr(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self):
        for pid in [*self.pids, *descendants(self.process.pid), self.process.pid]:
            if pid == self.process.pid or alive(pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()


def rank_dies(training, rank):
    """SIGKILL of one rank: the command ends by itself, not with success, and names that rank."""
    victims = [p for p in training.pids if rank_of(p) == rank]
    if not victims:
        return [f"no process has RANK={rank} in its environment"]
    time.sleep(random.uniform(0, 0.3))
    os.kill(victims[0], signal.SIGKILL)
    begun, wrong = time.monotonic(), []
    if not wait_until(lambda: training.process.poll() is not None, END_S):
        return [f"the command still runs {END_S} s after rank {rank} died"]
    if training.process.returncode == 0:
        wrong.append("the command ended with success")
    if f"rank {rank}" not in training.stderr().lower():
        wrong.append(f"nothing names rank {rank}")
    if not wait_until(lambda: not any(map(alive, training.pids)), 5):
        wrong.append("a rank is left running")
    print(f"     ended with {training.process.returncode} after {time.monotonic() - begun:.1f} s")
    return wrong


def launcher_gets(training, number):
    """A signal to the launcher: no rank is left, and the command does not report success."""
    training.process.send_signal(number)
    begun, wrong = time.monotonic(), []
    if not wait_until(lambda: training.process.poll() is not None and not any(map(alive, training.pids)), END_S):
        wrong.append(f"processes are left: {[p for p in training.pids if alive(p)]}")
    elif training.process.returncode == 0:
        wrong.append("the command ended with success")
    print(f"     ended with {training.process.returncode} after {time.monotonic() - begun:.1f} s")
    return wrong


def main():
    seed = int(os.environ.get("ZT_TEST_SEED", time.time_ns() % 1000000))
    random.seed(seed)
    failures = 0
    for name, act in [
            ("rank 1 is killed", lambda t: rank_dies(t, 1)),
            ("rank 0 is killed", lambda t: rank_dies(t, 0)),
            ("the launcher is killed", lambda t: launcher_gets(t, signal.SIGKILL)),
            ("the launcher is interrupted", lambda t: launcher_gets(t, signal.SIGINT)),
            ("the launcher is terminated", lambda t: launcher_gets(t, signal.SIGTERM))]:
        with tempfile.TemporaryDirectory(prefix="zt-kill-") as folder:
            training = Training(pathlib.Path(folder) / "run")
            try:
                ready = training.wait_for_steps(random.randint(2, 10))
                wrong = act(training) if ready else ["the run logged no steps"]
            finally:
                training.end()
            print(f"{'FAIL' if wrong else 'PASS'} {name} {'; '.join(wrong)}")
            if wrong:
                print("\n".join("     | " + line for line in training.stderr().splitlines()[-15:]))
            failures += bool(wrong)
    print(f"seed {seed}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

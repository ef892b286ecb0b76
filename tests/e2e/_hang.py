"""Hangs injected into a 4-rank run of zt train: the trial, shared by the sample and the campaign.

kinds: stop (SIGSTOP), kill (SIGKILL), loop (an endless loop on the driving thread, through
tests/tools/loop_shim.cpp). A trial passes when the report names the injected rank and where it stood,
every other rank ends with exit code 4 within the timeout, and nothing is left running.
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

import _tiny_model as tiny
from _processes import alive, rank_of, wait_until

SOURCE = pathlib.Path(os.environ.get("ZT_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
ZT = os.environ.get("ZT_BINARY", str(SOURCE / "zt"))
SHIM = pathlib.Path(os.environ.get("ZT_BUILD_DIR", SOURCE / "build")) / "tests" / "tools" / "libloop_shim.so"
SIGNALS = {"stop": signal.SIGSTOP, "kill": signal.SIGKILL, "loop": signal.SIGRTMIN + 5}
HEADER = "rank | stands at | still for s | inside of"
START_S = 90


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path("/proc", entry, "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
                if stat[0] != "Z" and int(stat[1]) == pid:
                    found.append(int(entry))
    return found


def prepare(folder):
    """The tiny model and its data, made once for all trials."""
    if not SHIM.exists():
        raise SystemExit(f"FAIL {SHIM} is not there; build the target loop_shim")
    tiny.make(folder)


class Trial:
    """One run with one injection. `limit` is --hang_timeout in seconds."""

    def __init__(self, inputs, folder, world=4, limit=3, extra=("--use_cpu", "True")):
        self.world, self.limit, self.folder = world, limit, folder
        folder.mkdir(parents=True)
        self.metrics, self.log = folder / "out" / "metrics.jsonl", folder / "stderr.txt"
        arguments = ["train", "--model_name_or_path", inputs / "model", "--train_file_dir", inputs / "data" / "train",
                     "--output_dir", folder / "out", "--cache_dir", inputs / "cache", "--nproc", str(world),
                     "--block_size", "16", "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "2",
                     "--max_steps", "1000000", "--logging_steps", "1", "--hang_timeout", str(limit),
                     "--deepspeed", inputs / "ds.json", *extra]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([ZT, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log,
                                            env=os.environ | {"OMP_NUM_THREADS": "1", "LD_PRELOAD": str(SHIM)})
        self.pids = {}

    def steps(self):
        return self.metrics.read_text(encoding="utf-8").count("\n") if self.metrics.exists() else 0

    def wait_for_steps(self, count):
        wait_until(lambda: self.steps() >= count or self.process.poll() is not None, START_S)
        found = {rank_of(pid): pid for pid in children(self.process.pid)}
        self.pids = {rank: pid for rank, pid in found.items() if rank is not None}
        return self.process.poll() is None and self.steps() >= count and sorted(self.pids) == list(range(self.world))

    def stderr(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self):
        for pid in [*self.pids.values(), *children(self.process.pid)]:
            if alive(pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def inject(self, kind, victim, leave_to_launcher=False):
        """Returns (what is wrong, seconds until the others had left, the report's words on the victim)."""
        steps = self.steps()
        os.kill(self.pids[victim], SIGNALS[kind])
        begun = time.monotonic()
        others = [pid for rank, pid in self.pids.items() if rank != victim]
        # The watch starts after an eighth of the limit, rank 0 keeps the store open for 3 s, a stuck rank has the limit once
        # more to end; the rest is for a busy machine.
        budget = 1.125 * self.limit + 3 + self.limit + 8
        left = wait_until(lambda: not any(map(alive, others)), budget)
        seconds = time.monotonic() - begun
        wrong = [] if left else [f"after {budget:.1f} s ranks other than {victim} still run"]
        if kind == "stop" and not leave_to_launcher:
            with contextlib.suppress(OSError):
                os.kill(self.pids[victim], signal.SIGKILL)  # as the launcher does after its graces
        if not wait_until(lambda: self.process.poll() is not None, 40):
            wrong.append("the launcher still runs")
        if any(map(alive, self.pids.values())):
            wrong.append("a rank is left running")
        ending = {"kill": "signal 9", "stop": "signal ", "loop": "exit code 4"}[kind]
        if not re.search(rf"rank {victim} \(pid \d+\) ended with {ending}", self.stderr()):
            wrong.append(f"rank {victim} did not end with {ending}")
        place = self.place(victim, wrong, steps)
        return wrong, seconds, place

    def place(self, victim, wrong, steps):
        text = self.stderr()
        reports = [line for line in text.splitlines() if line.startswith("zt: ")]
        naming = [line for line in reports if f"rank {victim} failed first" in line]
        for line in reports:
            if line not in naming:
                wrong.append(f"a rank reports something else: {line}")
        if len(naming) < self.world - 1:
            wrong.append(f"{len(naming)} ranks name rank {victim}, expected {self.world - 1}")
        for rank in range(self.world):
            if rank != victim and not re.search(rf"rank {rank} \(pid \d+\) ended with exit code 4\b", text):
                wrong.append(f"rank {rank} did not end with exit code 4")
        if text.count(HEADER) != 1:
            wrong.append(f"{text.count(HEADER)} tables of positions, expected one")
            return ""
        rows = {}
        for line in text.split(HEADER)[1].splitlines()[1:self.world + 1]:
            parts = [part.strip() for part in line.split(" | ")]
            if len(parts) >= 3:
                rows[int(parts[0])] = parts[1:]
        if sorted(rows) != list(range(self.world)):
            wrong.append(f"the table has rows for {sorted(rows)}")
            return ""
        nowhere = [rank for rank, row in rows.items() if not re.match(r"step \d+, .+", row[0])]
        if nowhere:
            wrong.append(f"no step and operation for ranks {nowhere}")
            return rows[victim][0]
        at = {rank: int(row[0].split()[1].rstrip(",")) for rank, row in rows.items()}
        if not steps <= at[victim] <= steps + 3:
            wrong.append(f"rank {victim} is said to stand at step {at[victim]}, but {steps} steps were logged")
        for rank, step in at.items():
            if not at[victim] <= step <= at[victim] + 1:
                wrong.append(f"rank {rank} stands at step {step}, the injected one at {at[victim]}")
        if "the others wait for it" not in rows[victim][2]:
            wrong.append("the table does not mark the injected rank")
        if naming and f" at {rows[victim][0].split(' (')[0]}" not in naming[0]:
            wrong.append("the report's line lacks the injected rank's operation")
        return rows[victim][0]

#!/usr/bin/env python3
"""SIGKILL of the launcher, of rank 0 and of a middle rank, again and again: nothing is left after 10 s; ten jobs at once.

ZT_KILL_ROUNDS (default 5) rounds; in each, three runs of three ranks train at the same time and one process of each is
killed. Every process of a run carries a mark in its environment, by which leftovers are found wherever they hang.
Uses ZT_BINARY (default ./zt), ZT_TEST_SEED.
"""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import time

import _guides as guides
import _tiny_model as tiny
from _checks import Report
from _processes import descendants, rank_of, wait_until

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))
VICTIMS = ("launcher", 0, 1)
RANKS, START_S, LEFT_S, JOBS = 3, 120, 10, 10


def marked(mark):
    """Living processes with ZT_MARK=<mark> in their environment."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                environment = pathlib.Path("/proc", entry, "environ").read_bytes()
                state = pathlib.Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state != "Z" and b"ZT_MARK=" + mark.encode() + b"\0" in environment:
                    found.append(int(entry))
    return found


class Run:
    """A run that would take hours, by `zt launch` or by `zt train --nproc`."""

    def __init__(self, root, name, victim, by_launch):
        self.victim, self.mark, self.by_launch, self.seconds = victim, f"{os.getpid()}-{name}", by_launch, None
        self.metrics = root / name / "metrics.jsonl"
        self.log = root / f"{name}.log"
        words = train(root, name, 1_000_000)
        command = [ZT, "launch", "--nproc", str(RANKS), "--", "zt", *words] if by_launch else [ZT, *words, "--nproc", str(RANKS)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=guides_free() | {"ZT_MARK": self.mark})

    def trains(self):
        return self.metrics.exists() and self.metrics.read_text(encoding="utf-8").count("\n") >= 2

    def kill(self):
        """What is wrong already."""
        if not wait_until(lambda: self.trains() or self.process.poll() is not None, START_S) or self.process.poll() is not None:
            return ["the run logged no steps"]
        pids = {rank_of(pid): pid for pid in descendants(self.process.pid) if rank_of(pid) is not None}
        if len(pids) != RANKS:
            return [f"{len(pids)} ranks"]
        time.sleep(random.uniform(0, 0.2))
        os.kill(self.process.pid if self.victim == "launcher" else pids[self.victim], signal.SIGKILL)
        return []

    def leftovers(self):
        """What is wrong LEFT_S seconds later."""
        wrong, begun = [], time.monotonic()
        if wait_until(lambda: self.process.poll() is not None and not marked(self.mark), LEFT_S):
            self.seconds = time.monotonic() - begun
        else:
            wrong.append(f"left after {LEFT_S} s: {marked(self.mark)}")
        if self.process.poll() == 0:
            wrong.append("the command reported success")
        if self.victim != "launcher" and f"first failure: rank {self.victim}" not in self.text().rstrip().splitlines()[-1]:
            wrong.append(f"the last line does not name rank {self.victim}")
        return wrong

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def clean_up(self):
        for pid in marked(self.mark):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def guides_free():
    return {k: v for k, v in os.environ.items() if not k.startswith(guides.SETTINGS)} | {"OMP_NUM_THREADS": "1"}


def train(root, output, steps):
    return list(map(str, ["train", "--model_name_or_path", root / "model", "--train_file_dir", root / "data/train", "--output_dir",
                          root / output, "--use_cpu", "True", "--block_size", "64", "--max_steps", steps, "--logging_steps", "1",
                          "--deepspeed", root / "ds.json"]))


def check_kills(report, root, rounds):
    """Returns (victim, by zt launch, seconds until nothing was left or None, what is wrong) of every run."""
    failed, results = [], []
    for turn in range(rounds):
        runs = [Run(root, f"kill{turn}-{victim}", victim, by_launch=turn % 2 == 0) for victim in VICTIMS]
        try:
            for run in runs:
                wrong = run.kill() or run.leftovers()
                results.append((run.victim, run.by_launch, run.seconds, wrong))
                failed += [f"round {turn}, {run.victim}: {text}\n{run.text()[-1500:]}" for text in wrong]
        finally:
            for run in runs:
                run.clean_up()
    report.check(f"{rounds} rounds of SIGKILL to the launcher, rank 0 and rank 1: nothing is left", failed[:3])
    return results


def check_jobs_at_once(report, root):
    mark = f"{os.getpid()}-jobs"
    jobs = [subprocess.Popen([ZT, *train(root, f"job{i}", 2), "--nproc", "2"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, env=guides_free() | {"ZT_MARK": mark}) for i in range(JOBS)]
    results = [(job.communicate(timeout=240)[0], job.returncode) for job in jobs]
    wrong = [f"job {i}: status {status}\n{text[-800:]}" for i, (text, status) in enumerate(results) if status != 0]
    hashes = {guides.model_hash(root / f"job{i}") for i in range(JOBS)}
    wrong += [] if len(hashes) == 1 else [f"{len(hashes)} different models"]
    wrong += [f"processes are left: {marked(mark)}"] if marked(mark) else []
    report.check(f"{JOBS} jobs at once do not meet each other", wrong)
    return wrong


def main(tell=lambda seed, kills, jobs: None):
    """`tell` gets the seed, what `check_kills` returned and what is wrong with the jobs at once."""
    rounds = int(os.environ.get("ZT_KILL_ROUNDS", "5"))
    seed = int(os.environ.get("ZT_TEST_SEED", time.time_ns() % 1000000))
    random.seed(seed)
    print(f"seed {seed}")
    with Report.in_folder("kills") as (report, root):
        tiny.make(root)
        kills = check_kills(report, root, rounds)
        tell(seed, kills, check_jobs_at_once(report, root))


if __name__ == "__main__":
    main()

"""File operations that fail, tear or end a rank while 4 ranks save: the trials, shared by the sample and the campaign.

One chain of runs in one output folder: each resumes from what the one before left, and meets the next fault in one of its
saves. tests/tools/fault_shim.cpp, preloaded, makes the faults.
"""

import collections
import json
import os
import re
import subprocess
import time
from pathlib import Path

import _tiny_model as tiny

SOURCE = Path(os.environ.get("ZT_SOURCE_DIR", Path(__file__).resolve().parents[2]))
ZT = os.environ.get("ZT_BINARY", str(SOURCE / "zt"))
SHIM = Path(os.environ.get("ZT_BUILD_DIR", SOURCE / "build")) / "tests" / "tools" / "libfault_shim.so"
WORLD, DRY_STEPS, SAVES_TO_HIT = 4, 5, 2
RUN_LIMIT_S = 240  # a run takes 4 s on idle processors
KINDS = ["kill", "tear", "enospc", "eio"]
Fault = collections.namedtuple("Fault", "kind rank at call")


class Chain:
    """The runs of one output folder."""

    def __init__(self, root):
        self.root, self.out = root, root / "out"
        tiny.make(root)
        if not SHIM.exists():
            raise SystemExit(f"FAIL {SHIM} is not there; build the target fault_shim")
        self.calls = self.count_calls()

    def command(self, out, max_steps, *extra):
        zero = json.dumps({"zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 100}})
        flags = ["train", "--use_cpu", "--nproc", WORLD, "--model_name_or_path", self.root / "model", "--train_file_dir",
                 self.root / "data" / "train", "--output_dir", out, "--cache_dir", self.root / "cache", "--block_size", 16,
                 "--per_device_train_batch_size", 1, "--lr_scheduler_type", "constant", "--learning_rate", 1e-3,
                 "--max_steps", max_steps, "--save_steps", 1, "--save_total_limit", 2, "--deepspeed", zero, *extra]
        return [ZT, *map(str, flags)]

    def run(self, out, max_steps, *extra, **fault):
        """Exit status 124 when it did not end in time."""
        command = self.command(out, max_steps, *extra)
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False,
                                  env=os.environ | {"OMP_NUM_THREADS": "1", "LD_PRELOAD": str(SHIM),
                                                    "FAULT_MATCH": "checkpoint-"} | fault)
        except subprocess.TimeoutExpired as late:
            text = (late.stderr or b"").decode(errors="replace")
            return subprocess.CompletedProcess(command, 124, "", f"{text}\nno end after {RUN_LIMIT_S} s")

    def count_calls(self):
        """Calls of each rank in the last SAVES_TO_HIT saves of a run; each of these also deletes a checkpoint."""
        log = self.root / "calls.txt"
        done = self.run(self.root / "counted", DRY_STEPS, FAULT_LOG=str(log))
        if done.returncode != 0:
            raise SystemExit(f"FAIL a run without faults ended with {done.returncode}\n{done.stderr}")
        by_rank = collections.defaultdict(list)
        for line in log.read_text(encoding="utf-8").splitlines():
            rank, _, call = line.split()
            by_rank[int(rank)].append(call)
        return {rank: calls[-(len(calls) * SAVES_TO_HIT // DRY_STEPS):] for rank, calls in sorted(by_rank.items())}

    def faults(self, source, count):
        """Every other one hits rank 0, which does most of the work on names."""
        for index in range(count):
            rank = 0 if index % 2 == 0 else source.randint(1, WORLD - 1)
            calls = self.calls[rank]
            # Names are few among many writes: every kind of call is as likely as another in half of the trials.
            call = source.choice(sorted(set(calls))) if source.random() < 0.5 else source.choice(calls)
            at = source.choice([i for i, name in enumerate(calls, 1) if name == call])
            yield Fault(source.choice(KINDS), rank, at, call)

    def published(self):
        """Step of the newest published checkpoint; 0: none."""
        return max((int(path.name.split("-")[1]) for path in self.out.glob("checkpoint-*")), default=0)

    def resumed_wrongly(self, text, newest):
        """What is wrong with a run that should have resumed from checkpoint-<newest>."""
        found = re.search(r"resumed from \S*checkpoint-(\d+): step (\d+)", text)
        if newest == 0:
            return [] if found is None and "no checkpoint in" in text else ["a run without a checkpoint resumed"]
        if found is None:
            return [f"checkpoint-{newest} was published and nothing was resumed"]
        wrong = [] if (int(found[1]), int(found[2])) == (newest, newest) else [f"{found[0]}, but checkpoint-{newest} is newest"]
        return wrong + ([] if "train: skipped" not in text else ["a published checkpoint was skipped as damaged"])

    def trial(self, fault):
        """One run that resumes and meets the fault. Returns (what is wrong, the step that is newest afterwards)."""
        before = self.published()
        last = before + SAVES_TO_HIT + 2
        done = self.run(self.out, last, "--resume_from_checkpoint", "latest", FAULT_RANK=str(fault.rank),
                        FAULT_AT=str(fault.at), FAULT_KIND=fault.kind)
        wrong = self.resumed_wrongly(done.stderr, before)
        after = self.published()
        if after < before:
            wrong.append(f"checkpoint-{before} is gone, checkpoint-{after} is the newest")
        if done.returncode == 124:
            wrong.append(f"the run did not end within {RUN_LIMIT_S} s")
        if done.returncode == 0 and fault.kind in ("kill", "tear"):
            wrong.append("the run ended with success")
        if done.returncode == 0 and after != last:
            wrong.append(f"the run ended with success without checkpoint-{last}")  # an error while deleting is no failure
        if wrong:
            print("\n".join("     | " + line for line in done.stderr.splitlines()[-25:]))
        return wrong, after

    def compare_with_undisturbed(self):
        """Goes on for two steps without a fault; the last checkpoint equals that of a run that met none."""
        before = self.published()
        last = before + 2
        done = self.run(self.out, last, "--resume_from_checkpoint", "latest")
        wrong = self.resumed_wrongly(done.stderr, before)
        if done.returncode != 0:
            return [*wrong, f"the last run ended with {done.returncode}: {done.stderr[-2000:]}"]
        undisturbed = self.root / "undisturbed"
        done = self.run(undisturbed, last)
        if done.returncode != 0:
            return [*wrong, f"the undisturbed run ended with {done.returncode}"]
        mine, other = (folder / f"checkpoint-{last}" for folder in (self.out, undisturbed))
        names = sorted(str(path.relative_to(other)) for path in other.rglob("*.safetensors"))
        differing = [name for name in names if (mine / name).read_bytes() != (other / name).read_bytes()]
        if not names or differing:
            wrong.append(f"checkpoint-{last} differs from the undisturbed run's in {differing} of {names}")
        leftovers = [path.name for path in self.out.iterdir() if path.name.startswith(".checkpoint-")]
        if leftovers:
            wrong.append(f"partial folders are left: {leftovers}")
        return wrong

    def flip(self, source, count):
        """Flips a byte of `count` files of the newest checkpoint, one after the other; verify must find each. The last flip
        stays: resuming passes over that checkpoint and says so. Returns what is wrong."""
        newest, wrong = self.out / f"checkpoint-{self.published()}", []
        files = sorted(path for path in newest.rglob("*") if path.is_file() and path.stat().st_size > 0)
        for path in [None, *source.sample(files, count)]:
            if path is not None:
                before = path.read_bytes()
                at = source.randrange(len(before))
                path.write_bytes(before[:at] + bytes([before[at] ^ 1 << source.randrange(8)]) + before[at + 1:])
            done = subprocess.run([ZT, "ckpt", "verify", newest], capture_output=True, text=True, timeout=60, check=False)
            if (done.returncode == 0) != (path is None):
                wrong.append(f"verify ended with {done.returncode} with byte {path and at} of {path and path.name} flipped")
            if path is not None and path.name not in done.stdout + done.stderr:
                wrong.append(f"verify does not name {path.name}")
            if path is not None:
                last, flipped = (path, before), path.read_bytes()
                path.write_bytes(before)
        last[0].write_bytes(flipped)
        steps = sorted(int(path.name.split("-")[1]) for path in self.out.glob("checkpoint-*"))
        done = self.run(self.out, steps[-1] + 1, "--resume_from_checkpoint", "latest")
        if f"resumed from {self.out}/checkpoint-{steps[-2]}:" not in done.stderr or "train: skipped" not in done.stderr:
            wrong.append(f"the damaged checkpoint-{steps[-1]} was not passed over:\n{done.stderr[-2000:]}")
        return wrong

    def two_writers(self):
        """A second run on a folder that a run writes to is refused, and the first goes on. Returns what is wrong."""
        out, wrong = self.root / "two", []
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen(self.command(out, 1000000), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=environment) as first:
            try:
                end = time.monotonic() + 60
                while not list(out.glob("checkpoint-*")) and time.monotonic() < end:
                    time.sleep(0.05)
                done = self.run(out, 1000000, "--resume_from_checkpoint", "latest")
                if done.returncode != 3 or str(out) not in done.stderr:
                    wrong.append(f"the second writer ended with {done.returncode}:\n{done.stderr[-1000:]}")
                steps = (out / "metrics.jsonl").read_text(encoding="utf-8").count("\n")
                time.sleep(1)
                if first.poll() is not None or (out / "metrics.jsonl").read_text(encoding="utf-8").count("\n") <= steps:
                    wrong.append("the first writer does not go on")
            finally:
                first.kill()
        return wrong


def run_chain(root, source, count):
    """Prints a line per trial; returns a list of (fault, newest step, wrong), then of (None or what else, step, wrong)."""
    chain, results = Chain(root), []
    print(f"     calls in {SAVES_TO_HIT} saves by rank: " + ", ".join(f"{r}: {len(c)}" for r, c in chain.calls.items()))
    for fault in chain.faults(source, count):
        wrong, newest = chain.trial(fault)
        print(f"{'FAIL' if wrong else 'PASS'} {fault.kind} in call {fault.at} ({fault.call}) of rank {fault.rank}; newest "
              f"checkpoint-{newest} {'; '.join(wrong)}", flush=True)
        results.append((fault, newest, wrong))
    wrong = chain.compare_with_undisturbed()
    print(f"{'FAIL' if wrong else 'PASS'} after {count} faults the checkpoint is that of an undisturbed run, bit for bit"
          f" {'; '.join(wrong)}", flush=True)
    results.append((None, chain.published(), wrong))
    for what, wrong in (("a flipped byte is found by verify and passed over by resume", chain.flip(source, 3)),
                        ("of two writers the second is refused", chain.two_writers())):
        print(f"{'FAIL' if wrong else 'PASS'} {what} {'; '.join(wrong)}", flush=True)
        results.append((what, 0, wrong))
    return results

"""Saving and resuming on real GPUs: how long training waits for saves, and bits after a resume.

usage: checkpoint.py ZT WORK_DIR [PART[,PART...]]     parts: blocked bits  (default: both)
  blocked  one GPU, Qwen3-0.6B shape in bf16, 32,768 tokens a step, a save every 20 steps with --async_save: the
           share of the time between saves that training waits, over all of them; the disk's own limit (dd of the
           same size with direct I/O, and fsync) is reported beside it. Exits with 1 when the share is 5 % or more.
  bits     two GPUs, stage 2 and 3, with and without --async_save: saved in the middle and resumed; metrics and
           saved tensors equal those of the undisturbed run to the bit.
WORK_DIR lies on the disk to measure; it needs about 30 GB.
"""

import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gate  # noqa: E402  (the model and data of the other GPU tests)

SHARE_LIMIT = 0.05


def run(zt, *flags):
    command = [zt, "train", *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
        raise SystemExit(f"FAIL  zt ended with {done.returncode}: {' '.join(command)}")
    return done.stdout + done.stderr


def metrics(output):
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def common(model, data, output, ranks, steps, batch, accumulation):
    return ["--nproc", ranks, "--model_name_or_path", model, "--from_scratch", "--train_file_dir", data, "--output_dir",
            output, "--block_size", gate.BLOCK, "--per_device_train_batch_size", batch, "--gradient_accumulation_steps",
            accumulation, "--max_steps", steps, "--bf16", "True", "--learning_rate", 1e-4, "--logging_steps", 10]


def disk_rate(folder, gigabytes):
    """Bytes per second of plain direct writes, fsync included."""
    path = folder / "disk_limit"
    begun = time.monotonic()
    subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=64M", f"count={int(gigabytes * 16)}", "oflag=direct",
                    "conv=fsync"], check=True, capture_output=True)
    seconds = time.monotonic() - begun
    size = path.stat().st_size
    path.unlink()
    return size / seconds


def check_blocked(zt, work, model, data):
    output = work / "blocked"
    shutil.rmtree(output, ignore_errors=True)
    every, steps = 20, 221
    log = run(zt, *common(model, data, output, 1, steps, 16, 4), "--save_steps", every, "--async_save", "True",
              "--save_total_limit", 2)
    records = metrics(output)
    saved = output / f"checkpoint-{steps - 1}"
    size = sum(p.stat().st_size for p in saved.rglob("*") if p.is_file())
    step_seconds = [r["tokens"] / r["tokens_per_second"] for r in records]
    shares = []
    for first in range(every, steps - every, every):  # records behind one save up to the next
        span = range(first, first + every)
        waited = sum(records[i].get("save_blocked_seconds", 0.0) for i in span)
        # A step's own time holds the wait at its boundary; what a save held up before is on top.
        shares.append(waited / (sum(step_seconds[i] for i in span) + waited))
    # A step that waits for no save still asks, which takes microseconds.
    plain = statistics.median(step_seconds[i] for i in range(5, steps)
                              if records[i].get("save_blocked_seconds", 0.0) < 1e-3)
    print(f"step {plain:.3f} s ({records[-1]['tokens'] / plain:.0f} tokens/s), checkpoint {size / 1e9:.2f} GB")
    for line in re.findall(r"checkpoint-\d+: written in .*", log):
        print("  " + line)
    rate = disk_rate(work, size / 1e9)
    print(f"disk: direct writes {rate / 1e9:.2f} GB/s, so {size / rate:.1f} s for a checkpoint; time between saves "
          f"{every * plain:.1f} s")
    waits = [r.get("save_blocked_seconds", 0.0) for r in records[every:]]  # to where the last save but one began
    share = sum(waits) / (sum(step_seconds[every:]) + sum(waits))
    print(f"waited for saves: {[f'{s:.2%}' for s in shares]}, median {statistics.median(shares):.2%}, of all time {share:.2%}")
    if size / rate > every * plain:
        print("the disk cannot write a checkpoint in the time between two saves: the wait is the disk's")
    ok = share < SHARE_LIMIT
    print(("PASS" if ok else "FAIL") + f"  blocked time {share:.2%} of wall time, limit {SHARE_LIMIT:.0%}")
    return ok


def tensors(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.safetensors")}


def check_bits(zt, work, model, data):
    ok = True
    for stage, asynchronous in ((2, True), (3, True), (3, False)):
        config = json.dumps({"zero_optimization": {"stage": stage}})
        flags = ["--deepspeed", config, "--deterministic", "--async_save", asynchronous]
        whole, cut = work / "whole", work / "cut"
        for folder in (whole, cut):
            shutil.rmtree(folder, ignore_errors=True)
        base = common(model, data, whole, 2, 12, 2, 2)
        run(zt, *base, *flags, "--save_steps", 6)
        run(zt, *common(model, data, cut, 2, 12, 2, 2), *flags, "--save_strategy", "no", "--resume_from_checkpoint",
            whole / "checkpoint-6")
        keys = ("step", "loss", "grad_norm", "learning_rate")
        mine = [tuple(r[k] for k in keys) for r in metrics(cut)]
        reference = [tuple(r[k] for k in keys) for r in metrics(whole)][6:]
        same = mine == reference and (cut / "model.safetensors").read_bytes() == \
            (whole / "model.safetensors").read_bytes()
        ok = ok and same
        print(("PASS" if same else "FAIL") + f"  stage {stage}, async_save {asynchronous}: 6 steps after a resume on 2 GPUs "
              "are the undisturbed run's to the bit")
    return ok


def main():
    zt, work = sys.argv[1], pathlib.Path(sys.argv[2])
    parts = sys.argv[3].split(",") if len(sys.argv) > 3 else ["blocked", "bits"]
    work.mkdir(parents=True, exist_ok=True)
    model = gate.make_model(work / "model", 1024, 28, 16, 8, 3072, True)
    data = gate.make_data(work / "data", rows=9000)
    results = []
    if "blocked" in parts:
        results.append(check_blocked(zt, work, model, data))
    if "bits" in parts:
        results.append(check_bits(zt, work, model, data))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

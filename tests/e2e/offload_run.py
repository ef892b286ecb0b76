#!/usr/bin/env python3
"""Offload as users run it: states and parameters on disk with --async_save, the start-up report, host memory refused by item."""

import json
import re

import _peer
import _resume
from _checks import Checks

STEPS = 6


def config(root, name, stage, **sections):
    file = root / f"{name}.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": stage, "stage3_param_persistence_threshold": 0, **sections}}))
    return file


def flags(root, output, file, *extra):
    return ["train", "--use_cpu", "--nproc", 2, "--model_name_or_path", root / "model", "--train_file_dir", root / "data" / "train",
            "--output_dir", output, "--cache_dir", root / "cache", "--block_size", 16, "--per_device_train_batch_size", 4,
            "--gradient_accumulation_steps", 2, "--learning_rate", 1e-3, "--max_steps", STEPS, "--weight_decay", 0.1,
            "--deepspeed", file, *extra]


def nvme(path):
    place = {"device": "nvme", "nvme_path": str(path)}
    return {"offload_optimizer": place, "offload_param": {**place, "max_in_cpu": 0}}


def check_disk(checks, root):
    """Every save is of its own step although the next ones write the files while it is written."""
    plain, disk = root / "plain", root / "disk"
    saves = ("--save_steps", 2, "--save_total_limit", 10)
    _peer.run_zt(*flags(root, plain, config(root, "plain", 3), *saves))
    done = _peer.run_zt(*flags(root, disk, config(root, "disk", 3, **nvme(root / "nvme")), *saves, "--async_save", "True"))
    checks.check(_resume.steps(disk) == _resume.steps(plain), "losses and norms of states and parameters on disk are those without")
    equal = [_resume.tensors(disk / f"checkpoint-{step}") == _resume.tensors(plain / f"checkpoint-{step}") for step in (2, 4, 6)]
    checks.check(equal == [True] * 3, f"three checkpoints written from disk beside training are equal to the bit: {equal}")
    left = [p for p in (root / "nvme").rglob("*") if p.is_file() and p.stat().st_size > 0]
    checks.check(not left, f"no file of the run is left under nvme_path: {left[:3]}")
    again = root / "again"
    _peer.run_zt(*flags(root, again, config(root, "host", 2, offload_optimizer={"device": "cpu"}), "--resume_from_checkpoint",
                        disk / "checkpoint-4"))
    checks.check(_resume.worst_difference(_resume.steps(again), _resume.steps(plain)) < 1e-6, "it goes on at another stage and place")
    return done.stderr


def check_report(checks, log):
    found = {name: re.search(pattern, log) for name, pattern in {
        "device": r"offload: device [\d.]+ \w+, products [\d.]+ TFLOP/s, compute \d+ ms per step",
        "host": r"offload: host [\d.]+ \w+ ordinary, [\d.]+ GB/s down, [\d.]+ GB/s up; per step down \d+ ms, up \d+ ms, fetched",
        "AdamW": r"offload: AdamW [\d.]+ GB/s on 1 thread of 1 of \d NUMA nodes?, [\w-]+; per step \d+ ms, exposed \d+ ms",
        "disk": r"offload: disk [\d.]+ \w+, [\d.]+ GB/s read, [\d.]+ GB/s written \(.+\); [\d.]+ \w+ moved per step, read \d+ ms",
        "step": r"offload: predicted \d+ ms per step, \d+ ms of it exposed \(\d+ % of compute\)"}.items()}
    for name, line in found.items():
        checks.check(line is not None, f"the start-up report has its line of {name}: {line and line.group(0)}")


def check_host_memory(checks, root):
    file = config(root, "large", 2, offload_optimizer={"device": "cpu"})
    done = _peer.run_zt(*flags(root, root / "refused", file, "--host_memory", "100KB"), expect=2)
    text = done.stdout + done.stderr
    named = [item for item in ("master_shard", "exp_avg ", "exp_avg_sq", "grad_shard") if item in text]
    checks.check("host memory" in text and len(named) == 4, f"too little host memory is refused with its items: {named}")
    fits = _peer.run_zt(*flags(root, root / "allowed", file, "--host_memory", "100TB"))
    checks.check("offload: host" in fits.stderr, "a figure that suffices lets the run go on")


def main():
    with Checks.in_folder("offload") as (checks, root):
        _resume.make(root)
        log = check_disk(checks, root)
        check_report(checks, log)
        check_host_memory(checks, root)


if __name__ == "__main__":
    main()

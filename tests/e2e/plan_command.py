#!/usr/bin/env python3
"""`zt plan` as users run it: exit codes, the written JSON, and that JSON read back."""

import json
import pathlib
import subprocess
import sys

from _checks import Checks

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "zt")
RUN = ["--model", "Qwen3-0.6B", "--nproc", "2", "--bf16", "--block_size", "512", "--per_device_train_batch_size", "1",
       "--gradient_accumulation_steps", "16"]


def plan(*flags):
    return subprocess.run([PROGRAM, "plan", *RUN, *flags], capture_output=True, text=True, check=False)


with Checks.in_folder("plan") as (checks, folder):
    file = f"{folder}/ds_config.json"
    written = plan("--gpu_memory", "10GB", "--output", file)
    checks.check(written.returncode == 0 and "\n* " in written.stdout, "a row is marked and written", written)
    document = json.loads(pathlib.Path(file).read_text())
    marked = next(line for line in written.stdout.splitlines() if line.startswith("* "))
    checks.check(str(document["zero_optimization"]["stage"]) == marked.split()[1], "the JSON has the marked stage", written)
    again = plan("--gpu_memory", "10GB", "--deepspeed", file)
    checks.check(again.returncode == 0 and "per rank, fits" in again.stdout, "the JSON read back fits", again)
    refused = plan("--gpu_memory", "10GB", "--output", file)
    checks.check(refused.returncode == 2 and "--overwrite" in refused.stderr, "an existing file stays", refused)
    small = plan("--gpu_memory", "1GB")
    checks.check(small.returncode == 1 and "nothing fits" in small.stdout, "nothing fits: exit code 1", small)
    wrong = plan("--gpu_memroy", "10GB")
    checks.check(wrong.returncode == 2 and "--gpu_memory" in wrong.stderr, "an unknown flag: exit code 2, nearest named", wrong)
    unknown = subprocess.run([PROGRAM, "plan", "--model", "Qwen3-7B"], capture_output=True, text=True, check=False)
    checks.check(unknown.returncode == 2 and "Qwen3-8B" in unknown.stderr, "an unknown shape: exit code 2", unknown)

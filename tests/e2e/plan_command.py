#!/usr/bin/env python3
"""`zt plan` as users run it: exit codes, the written JSON, and that JSON read back."""

import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "zt")
RUN = ["--model", "Qwen3-0.6B", "--nproc", "2", "--bf16", "--block_size", "512", "--per_device_train_batch_size", "1",
       "--gradient_accumulation_steps", "16"]
failures = 0


def plan(*flags):
    return subprocess.run([PROGRAM, "plan", *RUN, *flags], capture_output=True, text=True, check=False)


def expect(name, condition, result):
    global failures
    print(f"{'PASS' if condition else 'FAIL'} {name}")
    if not condition:
        failures += 1
        print(f"  exit code {result.returncode}\n{result.stdout}{result.stderr}")


with tempfile.TemporaryDirectory() as folder:
    file = f"{folder}/ds_config.json"
    written = plan("--gpu_memory", "10GB", "--output", file)
    expect("a row is marked and written", written.returncode == 0 and "\n* " in written.stdout, written)
    document = json.loads(pathlib.Path(file).read_text())
    marked = next(line for line in written.stdout.splitlines() if line.startswith("* "))
    expect("the JSON has the marked stage", str(document["zero_optimization"]["stage"]) == marked.split()[1], written)
    again = plan("--gpu_memory", "10GB", "--deepspeed", file)
    expect("the JSON read back fits", again.returncode == 0 and "per rank, fits" in again.stdout, again)
    refused = plan("--gpu_memory", "10GB", "--output", file)
    expect("an existing file stays", refused.returncode == 2 and "--overwrite" in refused.stderr, refused)
small = plan("--gpu_memory", "1GB")
expect("nothing fits: exit code 1", small.returncode == 1 and "nothing fits" in small.stdout, small)
wrong = plan("--gpu_memroy", "10GB")
expect("an unknown flag: exit code 2, nearest named", wrong.returncode == 2 and "--gpu_memory" in wrong.stderr, wrong)
unknown = subprocess.run([PROGRAM, "plan", "--model", "Qwen3-7B"], capture_output=True, text=True, check=False)
expect("an unknown shape: exit code 2", unknown.returncode == 2 and "Qwen3-8B" in unknown.stderr, unknown)
sys.exit(1 if failures else 0)

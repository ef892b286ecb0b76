#!/usr/bin/env python3
"""`zt bench` as users run it, on CPU ranks: the row, its JSON line, the trace, and what is refused."""

import json
import pathlib
import subprocess
import sys

from _checks import Checks

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "zt")
RUN = ["--model", str(ROOT / "examples" / "tiny_qwen3"), "--use_cpu", "--nproc", "2", "--block_size", "32",
       "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "3", "--zero_stage", "3",
       "--reduce_at", "micro_step", "--steps", "2", "--warmup", "2"]


def bench(*flags):
    return subprocess.run([PROGRAM, "bench", *flags], capture_output=True, text=True, check=False, timeout=55)


def profiled(folder, *flags):
    """A training run with --profile, and the operations of its trace; None: there is no trace."""
    done = subprocess.run(
        [PROGRAM, "train", "--use_cpu", "--do_train", "--from_scratch", "--model_name_or_path", RUN[1], "--train_file_dir",
         f"{RUN[1]}/valid", "--block_size", "32", "--per_device_train_batch_size", "1", "--validation_split_percentage", "0",
         "--save_strategy", "no", "--output_dir", str(folder), *flags], capture_output=True, text=True, check=False, timeout=55)
    trace = folder / "trace.json"
    return done, operations(trace) if trace.exists() else None


def operations(trace):
    return [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]


with Checks.in_folder("bench") as (checks, folder):
    rows, trace = folder / "rows.jsonl", folder / "trace.json"
    done = bench(*RUN, "--json", str(rows), "--trace", str(trace))
    checks.check(done.returncode == 0 and "tokens/s per rank" in done.stdout, "a row is printed", done)
    row = json.loads(rows.read_text())
    ran = [row[key] for key in ("world", "stage", "accumulation", "reduce_at", "steps")]
    checks.check(ran == [2, 3, 3, "micro_step", 2], "the JSON line says what ran", done)
    checks.check(abs(row["tokens_per_second_per_gpu"] * row["seconds"] - 96) < 1e-6, "speed is tokens of the median step", done)
    checks.check(abs(row["first_loss"] - 8.3) < 0.3, "random tokens start at ln(vocabulary)", done)
    events = operations(trace)
    names = {event["name"].split()[0] for event in events}
    checks.check({"forward", "backward", "gather", "reduce", "step"} <= names, "the trace has compute and communication", done)
    checks.check(all(event["dur"] >= 0 for event in events), "operations have a length", done)
    done = bench(*RUN[:-4], "--nproc", "1", "--steps", "1", "--warmup", "0", "--shares", "false", "--ceiling", "false")
    checks.check("loss 8." in done.stdout, "without warm-up the first loss is that of the first step", done)

    done, events = profiled(folder / "whole", "--max_steps", "6", "--profile", "2")
    checks.check(done.returncode == 0 and events, "a profile has a trace", done)
    done, events = profiled(folder / "stopped", "--max_steps", "100000", "--profile", "100000", "--max_train_time", "1")
    checks.check(done.returncode == 75 and events, "a run that stops before its profile is complete writes what it has", done)
    done, events = profiled(folder / "short", "--max_steps", "3", "--profile", "2")
    checks.check(done.returncode == 0 and events is None and "--profile: no trace was written" in done.stderr,
                 "a run that ends before the first timed step says so and writes no empty trace", done)

    refused = bench(*RUN, "--nproc", "1", "--json", "/no/such/folder/rows.jsonl")
    checks.check(refused.returncode == 3 and "/no/such/folder/rows.jsonl: cannot be written" in refused.stderr and
                 "tokens/s" not in refused.stdout, "a file that cannot be written ends the run before it measures", refused)
    refused = bench("--model", "Qwen9", "--use_cpu")
    checks.check(refused.returncode == 2 and "Qwen9" in refused.stderr, "an unknown shape is refused by name", refused)
    refused = bench("--model", "Qwen3-0.6B", "--steps", "0")
    checks.check(refused.returncode == 2 and "--steps" in refused.stderr, "a wrong number is refused", refused)

#!/usr/bin/env python3
"""`zt bench` as users run it, on CPU ranks: the row, its JSON line, the trace, and what is refused."""

import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "zt")
RUN = ["--model", str(ROOT / "examples" / "tiny_qwen3"), "--use_cpu", "--nproc", "2", "--block_size", "32",
       "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "3", "--zero_stage", "3",
       "--reduce_at", "micro_step", "--steps", "2", "--warmup", "2"]
failures = 0


def bench(*flags):
    return subprocess.run([PROGRAM, "bench", *flags], capture_output=True, text=True, check=False, timeout=55)


def expect(name, condition, result):
    global failures
    print(f"{'PASS' if condition else 'FAIL'} {name}")
    if not condition:
        failures += 1
        print(f"  exit code {result.returncode}\n{result.stdout}{result.stderr}")


with tempfile.TemporaryDirectory() as folder:
    rows, trace = pathlib.Path(folder) / "rows.jsonl", pathlib.Path(folder) / "trace.json"
    done = bench(*RUN, "--json", str(rows), "--trace", str(trace))
    expect("a row is printed", done.returncode == 0 and "tokens/s per rank" in done.stdout, done)
    row = json.loads(rows.read_text())
    expect("the JSON line says what ran", (row["world"], row["stage"], row["accumulation"], row["reduce_at"],
                                          row["steps"]) == (2, 3, 3, "micro_step", 2), done)
    expect("speed is tokens of the median step", abs(row["tokens_per_second_per_gpu"] * row["seconds"] - 96) < 1e-6, done)
    expect("random tokens start at ln(vocabulary)", abs(row["first_loss"] - 8.3) < 0.3, done)
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]
    names = {event["name"].split()[0] for event in events}
    expect("the trace has compute and communication", {"forward", "backward", "gather", "reduce", "step"} <= names, done)
    expect("operations have a length", all(event["dur"] >= 0 for event in events), done)
done = bench(*RUN[:-4], "--nproc", "1", "--steps", "1", "--warmup", "0", "--shares", "false", "--ceiling", "false")
expect("without warm-up the first loss is that of the first step", "loss 8." in done.stdout, done)


def profiled(folder, *flags):
    """A training run with --profile, and the operations of its trace; None: there is no trace."""
    done = subprocess.run(
        [PROGRAM, "train", "--use_cpu", "--do_train", "--from_scratch", "--model_name_or_path", RUN[1], "--train_file_dir",
         f"{RUN[1]}/valid", "--block_size", "32", "--per_device_train_batch_size", "1", "--validation_split_percentage", "0",
         "--save_strategy", "no", "--output_dir", folder, *flags], capture_output=True, text=True, check=False, timeout=55)
    trace = pathlib.Path(folder) / "trace.json"
    if not trace.exists():
        return done, None
    return done, [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]


with tempfile.TemporaryDirectory() as folder:
    done, events = profiled(f"{folder}/whole", "--max_steps", "6", "--profile", "2")
    expect("a profile has a trace", done.returncode == 0 and events, done)
    done, events = profiled(f"{folder}/stopped", "--max_steps", "100000", "--profile", "100000", "--max_train_time", "1")
    expect("a run that stops before its profile is complete writes what it has", done.returncode == 75 and events, done)
    done, events = profiled(f"{folder}/short", "--max_steps", "3", "--profile", "2")
    expect("a run that ends before the first timed step says so and writes no empty trace",
           done.returncode == 0 and events is None and "--profile: no trace was written" in done.stderr, done)
refused = bench(*RUN, "--nproc", "1", "--json", "/no/such/folder/rows.jsonl")
expect("a file that cannot be written ends the run before it measures",
       refused.returncode == 3 and "/no/such/folder/rows.jsonl: cannot be written" in refused.stderr and
       "tokens/s" not in refused.stdout, refused)
refused = bench("--model", "Qwen9", "--use_cpu")
expect("an unknown shape is refused by name", refused.returncode == 2 and "Qwen9" in refused.stderr, refused)
refused = bench("--model", "Qwen3-0.6B", "--steps", "0")
expect("a wrong number is refused", refused.returncode == 2 and "--steps" in refused.stderr, refused)
sys.exit(1 if failures else 0)

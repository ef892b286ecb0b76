#!/usr/bin/env python3
"""The command lines of the launcher once on real GPUs, on a small model: every way in trains on all of them.

usage: commands.py ZT WORK_DIR RANKS
zt doctor (NCCL over all GPUs, links, clocks), zt launch with slots, binding and logs, DeepSpeed's command line and the old
program names, torchrun, deepspeed and accelerate where they are on PATH, srun and mpirun where they are, SIGKILL of the
launcher. Each run's losses have to be those of `zt train --nproc RANKS`. The evaluation loss is the same with evaluation
batches of another size, whole and uneven. Exits with 1 when something is wrong. About 120 s.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from _processes import alive, descendants, wait_until  # noqa: E402
from gate import VOCAB, make_model  # noqa: E402

SCRIPTS = HERE.parents[1] / "scripts"
STEPS, BLOCK = 6, 256
failures = 0


def check(name, wrong, text=""):
    global failures
    print(f"{'FAIL' if wrong else 'PASS'} {name} {'; '.join(wrong)}", flush=True)
    if wrong:
        print("\n".join("     | " + line for line in text.splitlines()[-25:]), flush=True)
    failures += bool(wrong)


def run(words, env, limit=100):
    begun = time.monotonic()
    try:
        done = subprocess.run(list(map(str, words)), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        return -1, f"{error.stdout}", time.monotonic() - begun
    return done.returncode, done.stdout, time.monotonic() - begun


def losses(folder):
    path = folder / "metrics.jsonl"
    return [json.loads(line)["loss"] for line in open(path, encoding="utf-8")] if path.exists() else []


def main():
    zt, work, ranks = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    work.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"ZT": zt, "PATH": os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])}
    model = make_model(work / "small", 512, 4, 8, 4, 1024, True)
    (work / "train").mkdir(exist_ok=True)
    generator = random.Random(2)
    with open(work / "train/tokens.jsonl", "w", encoding="utf-8") as file:
        for _ in range(400):
            file.write(json.dumps({"input_ids": generator.choices(range(VOCAB), k=BLOCK)}) + "\n")
    (work / "ds.json").write_text(json.dumps({"zero_optimization": {"stage": 2}, "bf16": {"enabled": True},
                                              "train_micro_batch_size_per_gpu": 2}), encoding="utf-8")

    def train(name, steps=STEPS):
        shutil.rmtree(work / name, ignore_errors=True)
        return ["--model_name_or_path", model, "--from_scratch", "True", "--train_file_dir", work / "train", "--output_dir", work / name,
                "--block_size", BLOCK, "--max_steps", steps, "--logging_steps", 1, "--deepspeed", work / "ds.json",
                "--per_device_train_batch_size", 2, "--deterministic", "True", "--save_strategy", "no", "--cache_dir", work / "cache"]

    status, text, seconds = run([zt, "doctor", "--json", work / "doctor.json", "--dir", work], env)
    print(text)
    rows = {row["check"]: row for row in json.loads((work / "doctor.json").read_text())["checks"]}
    nccl = rows.get("NCCL all-reduce", {})
    check(f"zt doctor in {seconds:.0f} s", [] if nccl.get("level") == "ok" else [f"NCCL: {nccl}"] if ranks > 1 else [], text)

    status, text, _ = run([zt, "train", *train("reference"), "--nproc", ranks], env)
    reference = losses(work / "reference")
    check("zt train --nproc", [] if status == 0 and len(reference) == STEPS else [f"status {status}"], text)

    slots = ",".join(map(str, range(ranks)))
    compat = SCRIPTS / "compat"
    table = [
        ("zt launch --num_gpus", [zt, "launch", "--num_gpus", ranks, "--", "zt", "train"]),
        ("zt launch --include", [zt, "launch", "--include", f"localhost:{slots}", "--enable_each_rank_log", work / "logs", "zt", "train"]),
        ("zt launch --bind_cores_to_rank", [zt, "launch", "--num_gpus", ranks, "--bind_cores_to_rank", "zt", "train"]),
        ("zt launch --affinity off", [zt, "launch", "--num_gpus", ranks, "--affinity", "off", "zt", "train"]),
        ("scripts/deepspeed train_deepspeed.py", [SCRIPTS / "deepspeed", f"--num_gpus={ranks}", compat / "train_deepspeed.py"]),
        ("torchrun train.py", ["torchrun", f"--nproc_per_node={ranks}", compat / "train.py"]),
        ("deepspeed train_deepspeed.py", ["deepspeed", f"--num_gpus={ranks}", compat / "train_deepspeed.py"]),
        ("accelerate launch train.py", ["accelerate", "launch", "--use_deepspeed", "--zero_stage", "2", "--mixed_precision", "bf16",
                                        "--num_processes", ranks, compat / "train.py"]),
        ("zt launch zt run --task train", [zt, "launch", "--num_gpus", ranks, "--", "zt", "run", "--task", "train"]),
        ("torchrun main_deepspeed.py --task train", ["torchrun", f"--nproc_per_node={ranks}", compat / "main_deepspeed.py", "--task",
                                                     "train"]),
        ("mpirun zt train", ["mpirun", "--allow-run-as-root", "--bind-to", "none", "--oversubscribe", "-n", ranks, zt, "train"]),
    ]
    for index, (name, words) in enumerate(table):
        if not shutil.which(str(words[0]), path=env["PATH"]):
            print(f"skip {name}: {words[0]} is not installed", flush=True)
            continue
        status, text, seconds = run([*words, *train(f"run{index}")], env)
        wrong = [f"status {status}"] if status != 0 else []
        if losses(work / f"run{index}") != reference:
            wrong.append(f"losses {losses(work / f'run{index}')} differ from {reference}")
        check(f"{name} in {seconds:.0f} s", wrong, text)

    found = {}
    for batch in ("auto", 1, 5):  # of 2 in training, 37 blocks: the last batch of 5 has 2
        size = [] if batch == "auto" else ["--per_device_eval_batch_size", batch]
        status, text, _ = run([zt, "train", *train(f"eval{batch}"), "--validation_file_dir", work / "train", "--do_eval",
                               "--max_eval_samples", 37, *size, "--nproc", ranks], env)
        path = work / f"eval{batch}" / "eval_results.json"
        found[batch] = json.loads(path.read_text())["eval_loss"] if path.exists() else f"status {status}\n{text[-2000:]}"
    same = all(isinstance(value, float) and abs(value - found["auto"]) < 1e-3 * abs(found["auto"]) for value in found.values())
    check(f"eval_loss with evaluation batches of other sizes: {found}", [] if same else ["they differ"])

    process = subprocess.Popen(list(map(str, [zt, "launch", "--num_gpus", ranks, "zt", "train", *train("killed", 1_000_000)])), env=env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ready = wait_until(lambda: len(losses(work / "killed")) >= 3 or process.poll() is not None, 60)
    pids = descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    begun = time.monotonic()
    gone = wait_until(lambda: not any(map(alive, pids)), 10)
    check(f"SIGKILL of the launcher: all gone after {time.monotonic() - begun:.1f} s", [] if ready and gone and pids else [f"left: {pids}"])
    print(f"{'FAIL' if failures else 'PASS'}: {failures} problems")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

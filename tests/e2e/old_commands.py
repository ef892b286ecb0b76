#!/usr/bin/env python3
"""The command lines that users bring along, as printed, under the launchers that they name.

`main_deepspeed.py`, `train_deepspeed.py` and `train.py` under the real deepspeed, torchrun and accelerate, the scripts, and
`zt run` under every launcher: one task file trains to the same bits, tests to the same loss and predicts the same texts. What
is printed stays as it is; sizes come from the files it names, and for a preset from flags behind it. As root each runs in a
network of its own, so that the launchers' fixed port 29500 is free and `ss -ltnp` shows its sockets and no others: none of
our processes listens on every interface, whoever started it. Uses ZT_BINARY (default ./zt).
"""

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

import _guides as guides
import command_lines as commands
from _checks import Report

LIMIT_S = 120
TASK_FILE = """
num_gpus: 4
output_dir: ${OUTPUT_DIR}
model: {name_or_path: models/Qwen3-0.6B}
data: {train_file: data/train, validation_file: data/valid, test_file: data/valid, max_length: 64}
training: {batch_size: 2, max_steps: 2, logging_steps: 1, save_steps: 2, use_cpu: true}
deepspeed: {enabled: true, zero_stage: 2}
predict: {prompts: text.txt, max_new_tokens: 4}
"""
# The sizes of a preset that CPU ranks train, behind its name.
SMALL = """
model_type: "mamba"
model: {vocab_size: 257, d_model: 24, n_layers: 2, d_state: 4, d_conv: 3, expand: 1.5, max_seq_length: 64}
training: {batch_size: 1, gradient_accumulation_steps: 1, max_length: 64, max_steps: %d, save_steps: 2, logging_steps: 1}
"""
OVER = "--config small.yaml --train_file_dir data/train --tokenizer_name_or_path model --use_cpu --fp16 False"

LAUNCHERS = [
    "zt run --config c.yaml --task {task}",
    "deepspeed --num_gpus=4 main_deepspeed.py --config c.yaml --task {task}",
    "torchrun --nproc_per_node=4 main_deepspeed.py --config c.yaml --task {task}",
    "scripts/run_deepspeed.sh c.yaml {task}",
    "zt launch --num_gpus=4 zt run --config c.yaml --task {task}",
    "accelerate launch --use_deepspeed --zero_stage 2 --num_processes 4 main_deepspeed.py --config c.yaml --task {task}",
    "mpirun -n 4 --bind-to none zt run --config c.yaml --task {task}",
]
# The rest runs all three. How deepspeed and accelerate start takes ten times longer than a task does.
TASKS = {"deepspeed": ("train",), "accelerate": ("train",), "torchrun": ("train", "predict"), "mpirun": ("train", "test"),
         "scripts/run_deepspeed.sh": ("train", "predict")}
# As `accelerate config` writes it: without a GPU it would start no process.
ACCELERATE = """compute_environment: LOCAL_MACHINE
distributed_type: 'NO'
mixed_precision: 'no'
num_machines: 1
num_processes: 2
use_cpu: false
"""
PRESET = ("deepspeed --num_gpus=4 train_deepspeed.py --preset 7b_mamba --deepspeed_config d.json "
          "--load_checkpoint ./checkpoints/step_10000")


def our_sockets(pid):
    """Addresses on which zt listens in the network of a process, by ss."""
    def network(of):
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{of}/ns/net")
    if network(pid) in (None, network("self")):
        return set()
    lines = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-H", "-ltnp"], capture_output=True, text=True,
                           check=False).stdout.splitlines()
    # Ranks of our launcher are /proc/self/exe.
    return {line.split()[3] for line in lines if '"zt"' in line or '"exe"' in line}


class Folder:
    """Where the commands run."""

    def __init__(self, root):
        self.root = root
        commands.fill(root)
        (root / "c.yaml").write_text(TASK_FILE, encoding="utf-8")
        (root / "small.yaml").write_text(SMALL % 3, encoding="utf-8")
        env = commands.environment(root)
        kept = {k: v for k, v in env.items() if not k.startswith(guides.SETTINGS)}
        self.env = kept | {"ZT": commands.ZT, "HF_HOME": str(root / "hf")}
        (root / "hf/accelerate").mkdir(parents=True)
        (root / "hf/accelerate/default_config.yaml").write_text(ACCELERATE, encoding="ascii")
        self.alone = os.geteuid() == 0 and all(map(shutil.which, ("unshare", "nsenter", "ip", "ss")))

    def run(self, command, output):
        """What is wrong, and what it said."""
        words = ["bash", "-c", command]
        if self.alone:
            words = ["unshare", "--net", "bash", "-c", 'ip link set lo up && exec bash -c "$1"', "-", command]
        begun, sockets = time.monotonic(), set()
        log = self.root / f"log-{output or 'other'}"
        with open(log, "wb") as file:
            process = subprocess.Popen(words, cwd=self.root, env=self.env | {"OUTPUT_DIR": output}, stdin=subprocess.DEVNULL,
                                       stdout=file, stderr=file, start_new_session=True)
        while process.poll() is None and time.monotonic() < begun + LIMIT_S:
            time.sleep(0.1)
            sockets |= our_sockets(process.pid) if self.alone else set()
        wrong = []
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            wrong.append(f"still ran after {LIMIT_S} s")
        if process.wait() != 0:
            wrong.append(f"status {process.returncode}")
        wrong += [f"listens on {address}" for address in sorted(sockets) if not address.startswith("127.0.0.1:")]
        print(f"     {time.monotonic() - begun:.1f} s, {len(sockets)} sockets of ours: {command[:60]}", flush=True)
        return wrong, log.read_text(encoding="utf-8", errors="replace"), sockets

    def steps(self, output):
        path = self.root / output / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def results(folder, task, output):
    """What a task has made, in a form that has to be the same under every launcher."""
    if task == "train":
        return guides.model_hash(folder.root / output)
    path = folder.root / output / ("test_results.json" if task == "test" else "predictions.jsonl")
    if not path.exists():
        return f"no {path.name}"
    if task == "predict":
        return path.read_text(encoding="utf-8")
    found = json.loads(path.read_text(encoding="utf-8"))
    return {key: found.get(key) for key in ("test_loss", "test_perplexity", "test_accuracy", "test_samples")}


def run_launcher(folder, index):
    """(command, task, what it made, what is wrong, output) of a launcher's tasks, in an output folder of its own."""
    launcher, done = LAUNCHERS[index], []
    for task in TASKS.get(launcher.split()[0], ("train", "test", "predict")):
        command = launcher.format(task=task)
        wrong, text, sockets = folder.run(command, f"out{index}")
        if folder.alone and task == "train" and len(sockets) < 4:  # one of each rank; the store may be the runner's
            wrong.append(f"only {len(sockets)} sockets of ours were seen")
        done.append((command, task, results(folder, task, f"out{index}"), wrong, text))
    return done


def check_tasks(report, folder):
    installed = []
    for index, launcher in enumerate(LAUNCHERS):
        if launcher.startswith("scripts/") or shutil.which(launcher.split()[0], path=folder.env["PATH"]):
            installed.append(index)
        else:
            print(f"skip {launcher.split()[0]}: it is not installed")
    expected = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=2 if folder.alone else 1) as pool:
        for done in pool.map(lambda index: run_launcher(folder, index), installed):
            for command, task, found, wrong, text in done:
                if found != expected.setdefault(task, found) or str(found).startswith("no "):
                    wrong.append(f"{found} is not {expected[task]}")
                report.check(command, wrong, text)


def check_preset(report, folder):
    """A checkpoint that an earlier run has left as checkpoints/step_10000 is gone on from."""
    (folder.root / "small.yaml").write_text(SMALL % 2, encoding="utf-8")
    wrong, text, _ = folder.run(f"zt train {OVER} --nproc 4 --deepspeed d.json --output_dir first", "")
    report.check("a run that saves a checkpoint", wrong, text)
    (folder.root / "checkpoints").mkdir()
    shutil.copytree(folder.root / "first/checkpoint-2", folder.root / "checkpoints/step_10000")
    (folder.root / "small.yaml").write_text(SMALL % 3, encoding="utf-8")
    command = f"{PRESET} {OVER} --output_dir preset"
    wrong, text, _ = folder.run(command, "")
    steps = [record["step"] for record in folder.steps("preset")]
    wrong += [] if steps == [3] else [f"steps {steps}"]
    report.check(command, wrong, text)


def check_others(report, folder):
    wrong, text, _ = folder.run("python train_deepspeed.py --check_memory", "")
    wrong += [f"'{part}' is missing" for part in ("GPU", "1b_mamba", "3b_mamba", "7b_mamba") if part not in text]
    report.check("python train_deepspeed.py --check_memory", wrong, text)
    command = f"accelerate launch --use_deepspeed --zero_stage 2 train.py {commands.TRAIN} {commands.SHORT} --output_dir accelerate"
    wrong, text, _ = folder.run(command, "")
    wrong += [] if len(folder.steps("accelerate")) == 1 else ["no step was logged"]
    wrong += [] if re.search("ZeRO stage +2", text) else ["--zero_stage 2 did not arrive"]
    report.check(command, wrong, text)


def main():
    with Report.in_folder("old") as (report, root):
        folder = Folder(root)
        check_tasks(report, folder)
        check_preset(report, folder)
        check_others(report, folder)


if __name__ == "__main__":
    main()

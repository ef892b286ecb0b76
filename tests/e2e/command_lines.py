#!/usr/bin/env python3
"""Every command line that the documents show, and the ways in that users bring along, run as printed.

The commands run in a folder that has what they name: models, data, configurations, checkpoints, the scripts, `zt`, and
DeepSpeed's, torchrun's and accelerate's own launchers from PATH. Only sizes change, by the rules below: tiny models for
named ones, one step, CPU ranks, 127.0.0.1 for other machines (an `ssh` that runs the command here). A documented command
that ends otherwise, and one that no rule covers, fails. Uses ZT_BINARY (default ./zt).
"""

import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import _documented
import _guides as guides
import _ports as ports
import _tiny_model as tiny
from _checks import Report

SOURCE = pathlib.Path(os.environ.get("ZT_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
ZT = os.environ.get("ZT_BINARY", str(SOURCE / "zt"))
LIMIT_S = 240

# What `...` stands for, and what keeps a run short. Flags that come later win.
TRAIN = "--model_name_or_path models/Qwen3-0.6B --train_file_dir data/train"
SHORT = "--use_cpu True --bf16 False --block_size 64 --max_steps 1 --overwrite_output_dir True --save_strategy no"

# Ways in that are not in the documents word for word. {out} is a folder of the command's own.
OTHERS = [
    "deepspeed --num_gpus=2 --master_port=29500 train_deepspeed.py --deepspeed_config d.json {train} {short} --output_dir {out}",
    "scripts/deepspeed --num_gpus=2 train_deepspeed.py --deepspeed_config d.json {train} {short} --output_dir {out}",
    "scripts/deepspeed --num_gpus 2 pretraining.py {train} {short} --output_dir {out}",
    "torchrun --nproc_per_node=2 train.py --deepspeed d.json {train} {short} --output_dir {out}",
    "python train.py {train} {short} --output_dir {out}",
    "zt launch --include localhost:0,1 --bind_cores_to_rank --save_pid --enable_each_rank_log {out} sh -c true",
    "zt launch --num_gpus 2 --module json.tool --help",
    "zt doctor --quick",
    "zt doctor --json doctor.json --quick",
]

# Commands with another exit code than 0, by a part of them: (code, a part of what they say).
EXPECTED = {
    "--calibrate": (5, "GPU"),
}
SKIPPED = {
    "srun ": "tests/e2e/launch_runners.py runs srun",
    "--host a:8,b:8": "tests/e2e/launch_runners.py runs mpirun",
    "zt run ": "tests/e2e/task_file.py runs the tasks",
    "state-spaces/": "tests/e2e/mamba_checkpoints.py makes such a model",
    "scripts/launch_deepspeed.sh": "tests/e2e/presets.py runs the script",
    "--preset ": "tests/e2e/presets.py runs them",
    "export ": "the variables are set for all commands",
}


def fill(root):
    """The folder in which the commands run."""
    tiny.make(root)
    for name in ("Qwen3-0.6B", "Qwen3-8B"):
        (root / "models").mkdir(exist_ok=True)
        shutil.copytree(root / "model", root / "models" / name)
    for name in ("ds_config.json", "d.json"):
        shutil.copy(root / "ds.json", root / name)
    (root / "text.txt").write_text("A line of text.\n", encoding="utf-8")
    (root / "hosts").write_text("worker-0 slots=3\nworker-1 slots=3\n", encoding="ascii")
    (root / "zt").symlink_to(ZT)
    (root / "scripts").symlink_to(SOURCE / "scripts")
    (root / "configs").symlink_to(SOURCE / "configs")
    (root / "examples").symlink_to(SOURCE / "examples")
    for old in sorted((SOURCE / "scripts/compat").glob("[a-z]*.py")):
        (root / old.name).symlink_to(old)
    (root / "bin").mkdir()
    (root / "bin/zt").symlink_to(ZT)
    # The last word is the command for the other machine.
    (root / "bin/ssh").write_text('#!/bin/sh\nfor word; do :; done\nexec sh -c "$word"\n', encoding="ascii")
    (root / "bin/ssh").chmod(0o755)


def environment(root):
    bins = [root / "bin", pathlib.Path(sys.executable).parent]
    kept = {k: v for k, v in os.environ.items() if not k.startswith((*guides.SETTINGS, "ACCELERATE"))}
    return kept | {"PATH": os.pathsep.join([*map(str, bins), kept["PATH"]]), "OMP_NUM_THREADS": "1", "ZT": ZT, "HOME": str(root),
                   "MODEL_PATH": "models/Qwen3-0.6B", "TRAIN_DATA_DIR": "data/train", "VALID_DATA_DIR": "data/valid",
                   "USE_CPU": "True", "BLOCK_SIZE": "64", "GRADIENT_ACCUMULATION_STEPS": "1", "MAX_STEPS": "1",
                   "OVERWRITE_OUTPUT_DIR": "True", "DS_ACCELERATOR": "cpu", "PYTHONDONTWRITEBYTECODE": "1",
                   "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                   "OMPI_MCA_rmaps_base_oversubscribe": "1"}


def shorten(command, out):
    """The documented command at the test's sizes."""
    command = re.sub(r" FILE$", " d.json", command)
    command = command.replace("./zt ", "zt ").replace("10.0.0.1", "127.0.0.1")
    command = re.sub(r"(--n\w*proc\w*[ =])\d+", r"\g<1>2", command)
    command = re.sub(r"(--num_gpus[ =])\d+", r"\g<1>2", command)
    command = re.sub(r"mpirun -n \d+", "mpirun -n 2", command)
    command = re.sub(r"(gpu\.sh \d \d) \d", r"\1 1", command)
    command = re.sub(r"(gpu\.sh \d \d \d)$", r"\1 127.0.0.1 29500", command)
    if command.startswith("until"):
        return command.replace(" ...", f" {TRAIN} {SHORT} --output_dir {out}")
    command = command.replace(" ...", f" {TRAIN}")
    # No name of another machine resolves here.
    command = command.replace("--hostfile hosts", "--hostfile hosts --master_addr 127.0.0.1")
    if "bench" in command:
        command = command.replace("--model Qwen3-0.6B", "--model models/Qwen3-0.6B") + " --use_cpu True --bf16 False --steps 1 --warmup 1"
        command = re.sub(r"--block_size \d+", "--block_size 64", command).replace("--bf16 --", "--")
        command = re.sub(r"accumulation_steps \d+", "accumulation_steps 1", command)
    elif re.search(r"zt train|\w+\.py", command):
        command += f" {SHORT} --output_dir {out}"
    if command.startswith("zt plan"):
        command = command.replace(" --device_file h200.json", "")
    return command


def pair(command):
    """The commands of all machines, when the command is that of one of two."""
    for mark in ("--node_rank ", "NODE_RANK="):
        if mark + "0" in command:
            return [command, command.replace(mark + "0", mark + "1")]
    return [command]


def run(root, env, place, command):
    """(place, command, what is wrong, output)."""
    for part, reason in SKIPPED.items():
        if part in command:
            return place, command, None, reason
    for runner, package in (("mpirun", "openmpi-bin"), ("srun", "slurm-client")):
        if command.startswith(runner + " ") and not shutil.which(runner):
            return place, command, None, f"no {runner}: install {package} (scripts/setup.sh --machines)"
    out = f"out-{abs(hash((place, command))) % 10**10}"
    port = str(ports.free_port())
    if "{out}" in command:
        short = command.format(train=TRAIN, short=SHORT, out=out)
    else:
        short = shorten(command, out)
    short = short.replace("29500", port)
    # torchrun without a port takes 29500, and three commands run at a time.
    own = env | {"OUTPUT_DIR": out, "PET_MASTER_PORT": port}
    started = [subprocess.Popen(["bash", "-c", words], cwd=root, env=own, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
               for words in pair(short)]
    text, wrong = "", []
    code, part = next((row for mark, row in EXPECTED.items() if mark in command), (0, ""))
    for process in started:
        try:
            text += process.communicate(timeout=LIMIT_S)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            text += process.communicate()[0]
            wrong.append(f"still ran after {LIMIT_S} s")
        if code is not None and process.returncode != code:
            wrong.append(f"ended with {process.returncode}, expected {code}")
    if part not in text:
        wrong.append(f"does not say '{part}'")
    return place, short, wrong, text


def main():
    with Report.in_folder("commands") as (report, root):
        fill(root)
        env = environment(root)
        documented = _documented.commands(SOURCE)
        if len(documented) < 20:
            report.check("the documents' commands were found", [f"{len(documented)} commands"])
        table, seen = [], set()
        for place, command in [*documented, *(("other", command) for command in OTHERS)]:
            if command not in seen and "NODE_RANK=1" not in command:
                seen.add(command)
                table.append((place, command))
        first = subprocess.run(["bash", "-c", f"zt train {TRAIN} {SHORT} --save_strategy steps --save_steps 1 --output_dir outputs && "
                                "mv outputs/checkpoint-1 outputs/checkpoint-500"], cwd=root, env=env, capture_output=True, text=True, check=False)
        report.check("a checkpoint for the others", [] if first.returncode == 0 else [f"status {first.returncode}"], first.stdout + first.stderr)
        with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
            for place, command, wrong, text in pool.map(lambda row: run(root, env, *row), table):
                if wrong is None:
                    print(f"skip {place} {command}: {text}")
                else:
                    report.check(f"{place} {shlex.join(shlex.split(command)) if 'until' not in command else command}", wrong, text)


if __name__ == "__main__":
    main()

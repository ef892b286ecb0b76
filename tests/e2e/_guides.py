"""Shared by the tests of the guide scripts: a tiny model, the scripts' environment, starting them."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import _tiny_model as tiny

SOURCE = pathlib.Path(os.environ.get("ZT_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
SCRIPTS = SOURCE / "scripts"
DEEPSPEED, TORCHRUN = "deepspeed_multi_node_multi_gpu.sh", "torchrun_multi_node_multi_gpu.sh"
OLD = "deepspeed_muti_node_muti_gpu.sh"
STEPS, LIMIT_S = 2, 120
SETTINGS = ("NODE_RANK", "MODEL_PATH", "TRAIN_", "VALID_", "OUTPUT_DIR", "RANK", "WORLD_SIZE", "MASTER_", "NCCL_",
            "ZT_", "TORCHELASTIC_", "CUDA_VISIBLE_DEVICES")


def environment(root, output, **settings):
    """What a user would export: paths, and hyper-parameters that keep the run short."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)}
    bins = str(pathlib.Path(sys.executable).parent)  # torchrun lies beside this interpreter
    return kept | {
        "PATH": bins + os.pathsep + kept["PATH"], "ZT": os.environ.get("ZT_BINARY", str(SOURCE / "zt")),
        "USE_CPU": "True", "OMP_NUM_THREADS": "1", "MODEL_PATH": str(root / "model"),
        "TRAIN_DATA_DIR": str(root / "data" / "train"), "VALID_FILE_DIR": str(root / "data" / "valid"),
        "OUTPUT_DIR": str(output), "BLOCK_SIZE": "64", "GRADIENT_ACCUMULATION_STEPS": "1", "MAX_STEPS": str(STEPS),
        "LOGGING_STEPS": "1", "LOG_LEVEL": "info"} | settings


def command(script, stage, nodes, ranks, address, port, *flags, folder=SCRIPTS):
    return [str(folder / script), *map(str, (stage, nodes, ranks, address, port)), "--", *flags]


def run(arguments, env):
    """Exit status and all output of one script."""
    done = subprocess.run(arguments, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=LIMIT_S, check=False)
    return done.returncode, done.stdout


def run_together(starts):
    """Exit status and output of scripts that run at the same time; `starts`: (command, environment) of each."""
    started = [subprocess.Popen(arguments, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True) for arguments, env in starts]
    try:
        return [(p.communicate(timeout=LIMIT_S)[0], p.returncode)[::-1] for p in started]
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()


def model_hash(output):
    path = pathlib.Path(output) / "model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "no model"


def problems_of(results, output, reference):
    """What is wrong with a finished run: statuses, steps, the evaluation, the curves, the model's bits."""
    wrong = [f"status {status}" for status, _ in results if status != 0]
    metrics = pathlib.Path(output) / "metrics.jsonl"
    steps = len(metrics.read_text(encoding="utf-8").splitlines()) if metrics.exists() else 0
    if steps != STEPS:
        wrong.append(f"{steps} steps in metrics.jsonl")
    evaluation = pathlib.Path(output) / "eval_results.json"
    if not evaluation.exists() or "eval_loss" not in json.loads(evaluation.read_text(encoding="utf-8")):
        wrong.append("no eval_results.json")
    if not list(pathlib.Path(output).glob("runs/*/events.out.tfevents.*")):
        wrong.append("no TensorBoard events under runs/")
    if reference is not None and model_hash(output) != reference:
        wrong.append("the model differs from that of the first run")
    return wrong


def make_model(folder):
    tiny.make(folder)

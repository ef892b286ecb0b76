"""Runs that are saved and resumed; shared by the end-to-end test and the campaign over all sizes and stages."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import _peer
import _tiny_model

# Divides by 1, 2, 3, 4, 5 and 8 ranks, so that each keeps the global batch.
GLOBAL_BATCH = 120
BLOCK = 16


def make(root):
    """The tiny model, and data of which an epoch is 12 whole global batches."""
    _tiny_model.make(root)
    texts = [json.dumps({"text": f"line {i}: the quick brown fox jumps over {i * 7} lazy dogs."}) for i in range(600)]
    (root / "data" / "train" / "text.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")


def zero_config(stage, offload=False):
    zero = {"stage": stage, "stage3_param_persistence_threshold": 100}
    if offload and stage > 0:
        zero["offload_optimizer"] = {"device": "cpu"}
    if offload and stage == 3:
        zero["offload_param"] = {"device": "cpu"}
    return json.dumps({"zero_optimization": zero})


def flags(root, output, world, stage, *extra, offload=False, batch=1, accumulation=None):
    accumulation = accumulation or GLOBAL_BATCH // (world * batch)
    return ["train", "--use_cpu", "--nproc", world, "--model_name_or_path", root / "model", "--train_file_dir",
            root / "data" / "train", "--output_dir", output, "--cache_dir", root / "cache", "--block_size", BLOCK,
            "--per_device_train_batch_size", batch, "--gradient_accumulation_steps", accumulation, "--learning_rate", 1e-3,
            "--warmup_steps", 2, "--max_train_samples", 12 * GLOBAL_BATCH, "--weight_decay", 0.1, "--deepspeed", zero_config(stage, offload), *extra]


def steps(folder):
    """What of each step does not depend on the clock."""
    return [(r["step"], r["epoch"], r["loss"], r["grad_norm"], r["learning_rate"]) for r in _peer.metrics(folder)]


def checkpoints(folder):
    return sorted(int(p.name.split("-")[1]) for p in Path(folder).glob("checkpoint-*"))


def tensors(folder):
    """Bytes of every tensor file of a checkpoint."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*.safetensors"))}


def worst_difference(mine, reference):
    """Largest relative difference of losses, by step."""
    by_step = {s[0]: s[2] for s in reference}
    return max(abs(s[2] - by_step[s[0]]) / by_step[s[0]] for s in mine)


def start_zt(*arguments):
    return subprocess.Popen([_peer.ZT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def lines(folder):
    path = Path(folder) / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    output = process.communicate(timeout=120)[0]
    return process.returncode, output

#!/usr/bin/env python3
"""Ways to run `zt train`: torchrun, coalesced micro-batches, offload to host and disk, evaluation alone, a loss that is not finite."""

import json
import os
import shutil
import subprocess
import sys

import _peer
from _checks import Checks


def flags(model, output, *extra):
    return ["train", "--use_cpu", "--model_name_or_path", model, "--train_file_dir", _peer.EXAMPLE / "valid",
            "--output_dir", output, "--block_size", _peer.BLOCK, "--per_device_train_batch_size", 2, "--max_steps", 3,
            "--gradient_accumulation_steps", 2, "--learning_rate", 1e-3, *extra]


def losses(folder):
    return [record["loss"] for record in _peer.metrics(folder)]


def check_torchrun(checks, root):
    """The same two ranks started by torchrun and by zt give the same losses."""
    _peer.run_zt(*flags(root / "model", root / "own"), "--nproc", 2)
    command = [sys.executable, "-m", "torch.distributed.run", "--no-python", "--nproc-per-node", "2",
               "--master-addr", "127.0.0.1", "--master-port", "29571", _peer.ZT,
               *map(str, flags(root / "model", root / "torchrun", "--num_gpus", 4))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n")
    checks.check(done.returncode == 0, "torchrun --no-python zt train ends with 0")
    checks.check(losses(root / "torchrun") == losses(root / "own"), "its losses are those of zt train --nproc 2")
    checks.check("--num_gpus 4: no effect: 2 ranks were started by the launcher" in done.stdout + done.stderr,
                 "a number of ranks that the launcher decided otherwise is noted")


def check_coalesce(checks, root):
    """Two accumulation micro-batches run as one: the same result up to rounding."""
    _peer.run_zt(*flags(root / "model", root / "single"), "--nproc", 1)
    done = _peer.run_zt(*flags(root / "model", root / "pairs"), "--nproc", 1, "--coalesce", 2)
    checks.check("coalesce 2" in done.stderr, "the summary names the coalesce factor")
    worst = max(abs(a - b) / b for a, b in zip(losses(root / "pairs"), losses(root / "single")))
    checks.check(worst < 1e-6, f"coalesced losses differ by {worst:.1e} < 1e-6")


def check_offload(checks, root):
    """States, parameters and activations in every place that DeepSpeed's keys name: the losses stay, to the bit."""
    disk, host = {"device": "nvme", "nvme_path": str(root / "disk")}, {"device": "cpu"}
    places = {"none": {}, "states on disk": {"offload_optimizer": disk},
              "states and parameters on disk": {"offload_optimizer": disk, "offload_param": disk},
              "states and parameters on the host": {"offload_optimizer": host, "offload_param": host}}
    found = {}
    for name, zero in places.items():
        document = {"zero_optimization": {"stage": 3, **zero}, "activation_checkpointing": {"cpu_checkpointing": name != "none"}}
        output = root / name.replace(" ", "-")
        done = _peer.run_zt(*flags(root / "model", output, "--deepspeed", json.dumps(document), "--reduce_at", "micro_step"),
                            "--nproc", 2)
        found[name] = losses(output)
        where = "nvme" if "disk" in name else "host" if zero else "device"
        checks.check(f"states sharded ({where})" in done.stderr, f"{name}: the summary says {where}")
    checks.check(len(found["none"]) == 3 and all(values == found["none"] for values in found.values()),
                 f"offload to {len(found) - 1} places gives the losses of the run without it: {found['none']}")
    checks.check(not list((root / "disk").rglob("*")), "nothing is left on the disk")


def check_evaluation_alone(checks, root):
    _peer.run_zt(*flags(root / "model", root / "eval"), "--do_train", "False", "--do_eval", "--validation_file_dir",
                 _peer.EXAMPLE / "valid", "--nproc", 2)
    from transformers import AutoModelForCausalLM
    network = AutoModelForCausalLM.from_pretrained(root / "model").eval()
    expected = _peer.eval_loss(network, _peer.blocks(root / "model", _peer.EXAMPLE / "valid"))
    loss = json.loads((root / "eval" / "eval_results.json").read_text())["eval_loss"]
    checks.check(abs(loss - expected) < 1e-5, f"without training eval_loss {loss:.7f} is transformers' {expected:.7f}")
    checks.check(not (root / "eval" / "model.safetensors").exists(), "nothing is saved")


def check_not_finite(checks, root):
    """Weights whose products overflow: every step is skipped and logged, the second ends the run by name."""
    from safetensors.torch import load_file, save_file
    shutil.copytree(root / "model", root / "broken")
    weights = load_file(root / "broken" / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][:] = 3e38  # finite: infinity is refused when it is read
    save_file(weights, root / "broken" / "model.safetensors", metadata={"format": "pt"})
    done = _peer.run_zt(*flags(root / "broken", root / "stopped"), "--nproc", 2, "--max_nonfinite_steps", 2, expect=1)
    checks.check("step 2: 2 consecutive steps were not finite" in done.stderr, "the run stops at the second such step")
    checks.check("loss of rank 0, loss of rank 1" in done.stderr and "gradient of" in done.stderr,
                 "ranks and units that are not finite are named")
    records = _peer.metrics(root / "stopped")
    checks.check([r["skipped"] for r in records] == [True, True], "both skips are in metrics.jsonl")
    checks.check(not (root / "stopped" / "model.safetensors").exists(), "no model is saved")
    done = _peer.run_zt(*flags(root / "broken", root / "evaluated"), "--nproc", 1, "--do_train", "False", "--do_eval", "True",
                        "--validation_file_dir", _peer.EXAMPLE / "valid", "--max_eval_samples", 4)
    checks.check("the loss of the evaluation is not finite: got nan" in done.stderr, "an evaluation without a loss says so")


def main():
    with Checks.in_folder("variants") as (checks, root):
        _peer.make_model(root / "model")
        check_torchrun(checks, root)
        check_coalesce(checks, root)
        check_offload(checks, root)
        check_evaluation_alone(checks, root)
        check_not_finite(checks, root)


if __name__ == "__main__":
    main()

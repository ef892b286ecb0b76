"""Shared by the DeepSpeed tests: runs of real DeepSpeed on two CPU ranks, data, models."""

import contextlib
import io
import json
import os
import subprocess
import sys
import unittest.mock
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import _peer  # noqa: E402

BATCH, RANKS, BLOCK, SEED = 2, 2, 32, 42
STEPS, SAVED = 8, 3  # a run of 8 steps, saved after 3: 5 losses follow
TEXT = _peer.EXAMPLE / "valid"
OPTIMIZER = {"lr": 1e-2, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1}
SCHEDULER = {"type": "WarmupLR", "params": {"warmup_min_lr": 1e-4, "warmup_max_lr": 1e-2, "warmup_num_steps": 20,
                                            "warmup_type": "linear"}}
os.environ["DS_ACCELERATOR"] = "cpu"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def make_models(root):
    """Two tiny Qwen3, with and without a tied head."""
    for tied in (True, False):
        _peer.make_model(root / model_name(tied), hidden_size=32, intermediate_size=64, num_attention_heads=2,
                         num_key_value_heads=1, head_dim=16, tie_word_embeddings=tied)


def model_name(tied):
    return "tied" if tied else "untied"


def write_rows(root):
    """The blocks of every step over all ranks, [steps, batch of all ranks, block], in zt's order."""
    rows = _peer.blocks(root / "tied", TEXT, BLOCK)
    per_step = BATCH * RANKS
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(SEED)).tolist()
    assert len(order) >= STEPS * per_step
    torch.save(rows[order[:STEPS * per_step]].view(STEPS, per_step, BLOCK), root / "rows.pt")


def ds_config(stage, precision):
    """The settings of a run as a zt user passes them with --deepspeed."""
    return {"train_micro_batch_size_per_gpu": BATCH, "gradient_accumulation_steps": 1, "gradient_clipping": 1.0,
            "zero_optimization": {"stage": stage}, "optimizer": {"type": "AdamW", "params": OPTIMIZER},
            "scheduler": SCHEDULER, **precision_block(precision)}


def precision_block(precision):
    """The JSON block of fp32, bf16 or fp16; fp16 with a dynamic scale that these few steps never change."""
    if precision == "fp16":
        return {"fp16": {"enabled": True, "initial_scale_power": 8}}
    return {"bf16": {"enabled": precision == "bf16"}}


def ds_run(root, stage, precision, tied, name, **more):
    """One run of the worker's plan; its losses go to `<name>.json`."""
    return {"stage": stage, "precision": precision_block(precision), "model": str(root / model_name(tied)), "rows": str(root / "rows.pt"),
            "batch": BATCH, "optimizer": OPTIMIZER, "scheduler": SCHEDULER, "out": str(root / f"{name}.json"), **more}


def launch(root, plan):
    """Runs a plan with two ranks of DeepSpeed."""
    path = root / "plan.json"
    path.write_text(json.dumps(plan))
    worker = Path(__file__).with_name("_deepspeed_worker.py")
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(RANKS), "--standalone",
                           worker, path], capture_output=True, text=True, env=ENVIRONMENT, timeout=500, check=False)
    if done.returncode:
        raise SystemExit(f"FAIL  DeepSpeed ended with {done.returncode}\n{done.stderr[-6000:]}")


def losses(root, name):
    return json.loads((root / f"{name}.json").read_text())["losses"]


def consolidate(folder):
    """The state dict that DeepSpeed's own zero_to_fp32, unmodified, makes of a checkpoint."""
    from deepspeed.utils import zero_to_fp32
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return zero_to_fp32.get_fp32_state_dict_from_zero_checkpoint(str(folder))


def to_universal(folder, output, *flags):
    """DeepSpeed's own ds_to_universal."""
    from deepspeed.checkpoint import ds_to_universal
    words = ["--input_folder", folder, "--output_folder", output, "--num_extract_workers", 1, "--num_merge_workers", 1]
    parser = {"argv": ["ds_to_universal", *map(str, words), *flags]}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with unittest.mock.patch.multiple(sys, **parser):
            ds_to_universal.main(ds_to_universal.parse_arguments())

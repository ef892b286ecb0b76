#!/usr/bin/env python3
"""Checkpoints of a bf16 Mamba run: resumed at another stage to the bit, through DeepSpeed's layout and back unchanged.

DeepSpeed's files name the parameters in PyTorch's order of registration, with A_log, D and dt_proj.bias in fp32 and the
rest in bf16; a run goes on from such a folder below checkpoints/step_N.
"""


import torch

import _peer
from _checks import Checks
import mamba_30_steps as mamba
import parity_30_steps as parity


def train(folder, output, stage, *extra):
    _peer.run_zt(
        "train", "--use_cpu", "--nproc", 2, "--model_name_or_path", folder, "--train_file_dir", parity.TEXT,
        "--output_dir", output, "--do_train", "--validation_split_percentage", 0, "--block_size", _peer.BLOCK,
        "--per_device_train_batch_size", 1, "--gradient_accumulation_steps", 2, "--max_steps", 4, "--learning_rate", 1e-3,
        "--bf16", "--reduce_at", "micro_step", "--save_steps", 2, "--deepspeed",
        '{"zero_optimization": {"stage": %d}}' % stage, *extra)
    return [record["loss"] for record in _peer.metrics(output)]


def registered(folder):
    """Names as MambaForCausalLM registers them: a converted checkpoint has one group."""
    from transformers import MambaForCausalLM
    return [[name for name, _ in MambaForCausalLM.from_pretrained(folder).named_parameters()]]


def ckpt(*arguments):
    return _peer.run_zt("ckpt", *arguments).stdout


def main():
    with Checks.in_folder("mamba_ckpt") as (checks, root):
        folder = root / "model"
        mamba.make_model(folder)
        losses = train(folder, root / "whole", 2)
        saved = root / "whole" / "checkpoint-2"
        again = train(folder, root / "again", 3, "--resume_from_checkpoint", saved)
        checks.check(again == losses[2:], f"ZeRO-3 goes on from ZeRO-2's checkpoint to the bit: {again} {losses}")
        for stage in (2, 3):
            target = root / f"ds{stage}"
            ckpt("convert", saved, target, "--to", "deepspeed", "--stage", stage, "--world_size", 3)
            ckpt("merge", target, root / f"back{stage}", "--model", folder, "--dtype", "fp32")
            ckpt("convert", saved, root / f"fp32-{stage}", "--to", "hf", "--model", folder, "--dtype", "fp32")
            text = ckpt("diff", root / f"back{stage}", root / f"fp32-{stage}")
            checks.check("equal" in text, f"to DeepSpeed stage {stage} and back: the masters are equal")
        states = torch.load(next((root / "ds2").rglob("*model_states.pt")), map_location="cpu", weights_only=False)
        order = [list(group) for group in states["param_shapes"]]
        checks.check(order == registered(folder), "param_shapes has PyTorch's order of registration")
        wide = {n for n, t in states["module"].items() if t.dtype == torch.float32}
        checks.check(wide == {n for n in states["module"] if n.endswith(("A_log", ".D", "dt_proj.bias"))},
                     "the module is bf16 except what stays fp32")
        (root / "old" / "checkpoints").mkdir(parents=True)
        (root / "ds2").rename(root / "old" / "checkpoints" / "step_2")
        resumed = train(folder, root / "from_deepspeed", 1, "--load_checkpoint", root / "old")
        worst = max(abs(a - b) / b for a, b in zip(resumed, losses[2:]))
        checks.check(len(resumed) == 2 and worst < 1e-6, f"--load_checkpoint finds checkpoints/step_2: {worst:.1e}")


if __name__ == "__main__":
    main()

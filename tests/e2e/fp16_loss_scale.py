#!/usr/bin/env python3
"""fp16 with a dynamic loss scale: 30 steps of zt against PyTorch's autocast and GradScaler, and what zt does when it overflows.

zt starts at a scale of 2^24, where gradients overflow fp16 (65504) by arithmetic, and skips steps until the scale fits.
Which steps overflow depends on where each side rounds to fp16, so the PyTorch loop runs at 2^16 and gets an infinite
gradient in exactly the steps that zt skipped. All losses, those of skipped steps too, and the learning rates must agree:
a skipped step that changed anything would show in every step after it. Tolerances: fp16 has 11 bits to bf16's 8, so an
eighth of the bounds of parity_30_steps.py: loss 1e-3 / 8 relative (8e-6 measured), norm 2e-2 / 8 (2e-4 measured).
"""

import json

import torch

import _peer
from _checks import Checks
import parity_30_steps as parity


def half(**section):
    section = {"enabled": True, "hysteresis": 1, **section}
    return ("--fp16", "--deepspeed", json.dumps({"zero_optimization": {"stage": 2}, "fp16": section}))


def parity_with_grad_scaler(checks, folder, rows, root):
    mine = parity.zt(folder, root, root / "parity", *half(initial_scale_power=24))
    skipped = [r["step"] - 1 for r in mine if r["skipped"]]
    scales = [2.0 ** (24 - sum(s < r["step"] - 1 for s in skipped)) for r in mine]
    checks.check(0 < len(skipped) < parity.STEPS // 2, f"steps {skipped} overflow from 2^24 on, the rest are applied")
    checks.check([r["loss_scale"] for r in mine] == scales, "the scale halves at each of them and nowhere else")
    theirs = parity.pytorch_loop(folder, rows, torch.float16, skipped)
    checks.check([r["skipped"] for r in theirs] == [r["skipped"] for r in mine], "GradScaler skips the same steps")
    for record in mine + theirs:  # of a skipped step the norm is infinite on both sides
        record["grad_norm"] = 1.0 if record["skipped"] else record["grad_norm"]
    parity.compare(checks, "zt and autocast with GradScaler, fp16", mine, theirs, 1e-3 / 8, 2e-2 / 8)


def run(folder, output, section, steps, expect=0):
    return _peer.run_zt(
        "train", "--use_cpu", "--nproc", 2, "--model_name_or_path", folder, "--train_file_dir", parity.TEXT,
        "--output_dir", output, "--do_train", "--validation_split_percentage", 0, "--block_size", _peer.BLOCK,
        "--per_device_train_batch_size", 1, "--max_steps", steps, "--learning_rate", 1e-3, *section, expect=expect)


def skipped_steps_change_nothing(checks, folder, root):
    from safetensors.torch import load_file
    done = run(folder, root / "skipped", half(initial_scale_power=60, hysteresis=2), 4)
    records = _peer.metrics(root / "skipped")
    checks.check(all(r["skipped"] for r in records), "a scale of 2^60 overflows in every step")
    scales = [r["loss_scale"] for r in records]
    checks.check(scales == [2.0**60, 2.0**60, 2.0**59, 2.0**58], "hysteresis 2: the first overflow leaves the scale")
    checks.check(len({r["learning_rate"] for r in records}) == 1, "skipped steps do not advance the learning rate")
    before, after = load_file(folder / "model.safetensors"), load_file(root / "skipped" / "model.safetensors")
    equal = all(torch.equal(before[name].half(), after[name]) for name in after)
    checks.check(equal and len(after) > 0, "the saved weights are the first ones, to the bit")
    log = done.stdout + done.stderr
    loss = json.loads((root / "skipped" / "train_results.json").read_text())["train_loss"]
    checks.check(loss != loss, f"the mean loss over no step is no number, above all not 0: {loss}")
    checks.check(log.count(" skipped, not finite: ") == 4, "one log line per skipped step")
    line = "; loss scale 1.152921505e+18 -> 5.764607523e+17 ("
    checks.check(line in log and "gradient of embedding (shard of rank 0 1)" in log, "it names scales, unit and ranks")


def a_scale_that_cannot_fall_ends_the_run(checks, folder, root):
    done = run(folder, root / "floor", half(initial_scale_power=60, min_loss_scale=2.0**59), 9, expect=1)
    checks.check("step 2: gradients overflow at the smallest loss scale" in done.stdout + done.stderr,
                 "an overflow at min_loss_scale ends the run and says so")
    done = run(folder, root / "static", half(loss_scale=1e18), 9, expect=1)
    checks.check("step 3: 3 consecutive steps were not finite" in done.stdout + done.stderr,
                 "a static scale that overflows ends the run after --max_nonfinite_steps")
    checks.check({r["loss_scale"] for r in _peer.metrics(root / "static")} == {1e18}, "a static scale stays")


def main():
    torch.set_num_threads(1)
    with Checks.in_folder("fp16") as (checks, root):
        folder = root / "model"
        _peer.make_model(folder)
        skipped_steps_change_nothing(checks, folder, root)
        a_scale_that_cannot_fall_ends_the_run(checks, folder, root)
        parity_with_grad_scaler(checks, folder, _peer.blocks(folder, parity.TEXT), root)


if __name__ == "__main__":
    main()

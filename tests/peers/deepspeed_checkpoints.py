#!/usr/bin/env python3
"""Checkpoints go between zt and real DeepSpeed, both ways, at every ZeRO stage, in fp32, bf16 and fp16, tied and untied.

usage: deepspeed_checkpoints.py [PATH_TO_checkpoint_peer_tool]; without it the one in $ZT_BUILD_DIR
- DeepSpeed trains, saves and goes on; zt resumes from its files: the next 5 losses are DeepSpeed's.
- zt trains, saves with --checkpoint_format deepspeed and goes on; DeepSpeed resumes: the next 5 losses are zt's, and its
  unmodified zero_to_fp32 gives zt's master weights bit for bit.
- DeepSpeed's files, cut anew for another stage and world and back: DeepSpeed's losses, bit for bit; universal forms.
Tolerance of losses between the two programs, relative: fp32 1e-6 (other GEMM and reduction orders; 1.1e-7 measured), bf16
1e-4 (2^-8 a rounding, averaged over 124 tokens; 1.5e-5 measured).
"""

import json
import os
import shutil
import subprocess
import sys

import numpy
import safetensors.torch
import torch

import _deepspeed
from _checks import Checks
from _deepspeed import ENVIRONMENT, SAVED, STEPS, _peer, ds_run, launch, losses

TOOL = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else
                       os.path.join(os.environ["ZT_BUILD_DIR"], "src", "checkpoint", "checkpoint_peer_tool"))
CASES = [(stage, precision, tied) for stage in (1, 2, 3) for precision in ("fp32", "bf16") for tied in (True, False)]
CASES += [(1, "fp16", True), (2, "fp16", False), (3, "fp16", True)]


def name_of(case):
    stage, precision, tied = case
    return f"stage{stage}-{precision}-{'tied' if tied else 'untied'}"


def tool(*words):
    done = subprocess.run([TOOL, *map(str, words)], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if done.returncode:
        raise SystemExit(f"FAIL  {words}: {done.stderr}")
    return done.stdout.split()


def dump(folder, output):
    """Values by (name, kind) as our reader gives them, in pieces of 999 elements; the run's numbers."""
    output.mkdir()
    numbers = tool("dump", folder, output, 999)
    values = {}
    for path in output.iterdir():
        name, kind = path.name.rsplit(".", 1)
        values[name, kind] = numpy.fromfile(path, numpy.float32)
    return values, [int(n) for n in numbers]


def equal(values, state, kind):
    """Every tensor of a state dict that we know under its name equals ours; at least all but an alias are known."""
    known = [n for n in state if (n, kind) in values]
    return len(known) >= len(state) - 1 and all(
        numpy.array_equal(values[n, kind], state[n].detach().float().numpy().ravel()) for n in known)


def check_universal(checks, root, case):
    """DeepSpeed's universal form of its files and of ours: the same values."""
    name = name_of(case)
    own = dump(root / name, root / "u-plain")[0]
    for i, (folder, flags) in enumerate([(root / name, ["--inject_missing_state"]), (root / f"z-{name}", [])]):
        _deepspeed.to_universal(folder / (folder / "latest").read_text(), folder / "universal", *flags)
        got, numbers = dump(folder / "universal", root / f"u-{i}")
        same = all(numpy.array_equal(got[key], own[key]) for key in own)
        checks.check(same and numbers[:2] == [SAVED, SAVED], f"{name}: universal form of {('DeepSpeed', 'our')[i]} files")
    for path in root.glob("u-*"):
        shutil.rmtree(path)


def check_files(checks, root, case):
    """Our reader's values of DeepSpeed's files, and DeepSpeed's run from our writer's files."""
    name = name_of(case)
    values, numbers = dump(root / name, root / f"{name}-values")
    state = _deepspeed.consolidate(root / name)
    checks.check(equal(values, state, "master"), f"{name}: masters equal what zero_to_fp32 gives ({len(state)} tensors)")
    checks.check(numbers == [SAVED, SAVED, 4 * SAVED, 4], f"{name}: step, samples and batch {numbers}")
    state = _deepspeed.consolidate(root / f"z-{name}")
    checks.check(equal(values, state, "master"), f"{name}: zero_to_fp32 gives the same masters from rewritten files")
    model = sorted((root / f"z-{name}").glob("*/*model_states.pt"))[0]
    names = torch.load(model, weights_only=True)["module"]
    checks.check(len(names) == 47, f"{name}: torch.load reads {model.name} without running code")
    same = losses(root, f"z-{name}-run") == losses(root, name)[SAVED:]
    checks.check(same, f"{name}: DeepSpeed goes on from rewritten files with the same losses, bit for bit")


TOLERANCE = {"fp32": 1e-6, "bf16": 1e-4, "fp16": 1e-4}


def zt(root, case, output, *extra):
    """Trains with zt; the losses of the steps it did, by step."""
    stage, precision, tied = case
    _peer.run_zt("train", "--use_cpu", "--nproc", _deepspeed.RANKS, "--model_name_or_path", root / _deepspeed.model_name(tied),
                 "--train_file_dir", _deepspeed.TEXT, "--output_dir", output, "--cache_dir", root / "cache", "--do_train",
                 "--validation_split_percentage", 0, "--block_size", _deepspeed.BLOCK, "--per_device_train_batch_size",
                 _deepspeed.BATCH, "--max_steps", STEPS, "--seed", _deepspeed.SEED, "--deepspeed",
                 json.dumps(_deepspeed.ds_config(stage, precision)), *extra)
    return [r["loss"] for r in _peer.metrics(output) if r["step"] > SAVED]


def masters(folder):
    """fp32 weights of a native checkpoint."""
    own = folder / "zero" / "master.safetensors"
    return safetensors.torch.load_file(own if own.exists() else folder / "model.safetensors")


def close(checks, text, mine, theirs, tolerance):
    worst = max(abs(a - b) / abs(b) for a, b in zip(mine, theirs))
    checks.check(len(mine) == len(theirs) == STEPS - SAVED and worst < tolerance,
                 f"{text}: largest relative difference of {len(mine)} losses {worst:.1e} < {tolerance}")


def check_zt(checks, root, case, own):
    """`own`: losses of zt's undisturbed run, which DeepSpeed went on from in the middle."""
    name, tolerance = name_of(case), TOLERANCE[case[1]]
    close(checks, f"{name}: DeepSpeed goes on from zt's checkpoint", losses(root, f"x-{name}-run"), own, tolerance)
    resumed = zt(root, case, root / f"r-{name}", "--resume_from_checkpoint", root / name, "--save_strategy", "no")
    close(checks, f"{name}: zt goes on from DeepSpeed's checkpoint", resumed, losses(root, name)[SAVED:], tolerance)
    state = _deepspeed.consolidate(root / f"x-{name}")
    expected = masters(root / f"x-{name}" / f"checkpoint-{STEPS}")
    same = all(numpy.array_equal(state[n].detach().float().numpy(), expected[n].numpy()) for n in expected)
    checks.check(same and len(state) == 47, f"{name}: zero_to_fp32 gives zt's masters from zt's checkpoint ({len(expected)} tensors)")


def main():
    with Checks.in_folder("deepspeed") as (checks, root):
        _deepspeed.make_models(root)
        _deepspeed.write_rows(root)
        own = {case: zt(root, case, root / f"x-{name_of(case)}", "--save_steps", SAVED, "--checkpoint_format", "deepspeed")
               for case in CASES}
        plan = [ds_run(root, *case, name_of(case), steps=list(range(STEPS)), save_at=SAVED, save=str(root / name_of(case)))
                for case in CASES]
        later = list(range(SAVED, STEPS))
        for case in CASES:  # cut for three ranks at another stage and back again, which changes no bit
            stage, name = case[0], name_of(case)
            target = {1: 2, 2: 1, 3: 3}[stage]
            commands = [[TOOL, "reshard", f"{root}/{name}", f"{root}/{name}-3ranks", str(4 - stage), "3"],
                        [TOOL, "reshard", f"{root}/{name}-3ranks", f"{root}/z-{name}", str(target), "2"]]
            plan.append(ds_run(root, target, *case[1:], f"z-{name}-run", steps=later, load=f"{root}/z-{name}", before=commands))
            plan.append(ds_run(root, *case, f"x-{name}-run", steps=later, load=f"{root}/x-{name}", tag=f"global_step{SAVED}"))
        launch(root, plan)
        for case in CASES:
            check_files(checks, root, case)
            check_zt(checks, root, case, own[case])
        for case in ((1, "bf16", False), (3, "fp32", True)):
            check_universal(checks, root, case)


if __name__ == "__main__":
    main()

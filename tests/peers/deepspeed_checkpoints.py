#!/usr/bin/env python3
"""Files of real DeepSpeed are read, and rewritten files are resumed by it, bit for bit, at every ZeRO stage.

usage: deepspeed_files.py [PATH_TO_checkpoint_peer_tool]; without it the one in $ZT_BUILD_DIR
DeepSpeed writes stages 1 to 3 in fp32 and bf16, tied and untied. Our reader gives the values that DeepSpeed's own
converters give; our writer's files carry on DeepSpeed's run with exactly the same losses, also at another stage.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy

import _deepspeed
from _deepspeed import ENVIRONMENT, SAVED, STEPS, _peer, ds_run, launch, losses

TOOL = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else
                       os.path.join(os.environ["ZT_BUILD_DIR"], "src", "checkpoint", "checkpoint_peer_tool"))
CASES = [(1, False, True), (1, True, False), (2, True, True), (2, False, False), (3, False, True), (3, True, False)]


def name_of(case):
    stage, bf16, tied = case
    return f"stage{stage}-{'bf16' if bf16 else 'fp32'}-{'tied' if tied else 'untied'}"


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


def main():
    checks = _peer.Checks()
    root = Path(tempfile.mkdtemp(prefix="zt_deepspeed_files_"))
    try:
        _deepspeed.make_models(root)
        _deepspeed.write_rows(root)
        plan = [ds_run(root, *case, name_of(case), steps=list(range(STEPS)), save_at=SAVED, save=str(root / name_of(case)))
                for case in CASES]
        for case in CASES:  # cut for three ranks at another stage and back again, which changes no bit
            stage, name = case[0], name_of(case)
            target = {1: 2, 2: 1, 3: 3}[stage]
            commands = [[TOOL, "reshard", f"{root}/{name}", f"{root}/{name}-3ranks", str(4 - stage), "3"],
                        [TOOL, "reshard", f"{root}/{name}-3ranks", f"{root}/z-{name}", str(target), "2"]]
            plan.append(ds_run(root, target, *case[1:], f"z-{name}-run", steps=list(range(SAVED, STEPS)), load=f"{root}/z-{name}",
                               before=commands))
        launch(root, plan)
        for case in CASES:
            name = name_of(case)
            values, numbers = dump(root / name, root / f"{name}-values")
            state = _deepspeed.consolidate(root / name)
            checks.check(equal(values, state, "master"), f"{name}: masters equal what zero_to_fp32 gives ({len(state)} tensors)")
            checks.check(numbers == [SAVED, SAVED, 4 * SAVED, 4], f"{name}: step, samples and batch {numbers}")
            state = _deepspeed.consolidate(root / f"z-{name}")
            checks.check(equal(values, state, "master"), f"{name}: zero_to_fp32 gives our masters from our files")
        for case in CASES:
            name = name_of(case)
            expected, got = losses(root, name)[SAVED:], losses(root, f"z-{name}-run")
            checks.check(got == expected, f"{name}: DeepSpeed goes on from our files: {got} and {expected}")
        for case in (CASES[1], CASES[4]):
            check_universal(checks, root, case)
    finally:
        shutil.rmtree(root)
    checks.finish()


if __name__ == "__main__":
    main()

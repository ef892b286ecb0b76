#!/usr/bin/env python3
"""Every checkpoint that a run publishes loads in transformers the moment it appears, while training goes on."""

import os
import subprocess
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import _peer
import _resume
from _checks import Checks

WANTED, STEPS, EVERY = 5, 100_000, 20


def loads(folder):
    """What is wrong with a checkpoint that has just been published, as transformers sees it."""
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    wrong = [f"{kind} {sorted(info[kind])}" for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[kind]]
    wrong += [f"{name} is not finite" for name, value in model.named_parameters() if not torch.isfinite(value).all()]
    if not AutoTokenizer.from_pretrained(folder)("the quick brown fox")["input_ids"]:
        wrong.append("the tokenizer gives no ids")
    return wrong


def watch(checks, run, output):
    """Loads checkpoints in the order in which they appear until WANTED were loaded; all while `run` lives."""
    seen = []
    while len(seen) < WANTED and run.poll() is None:
        time.sleep(0.1)
        for folder in sorted(output.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1])):
            if folder.name not in seen and len(seen) < WANTED:
                wrong = loads(folder)
                seen.append(folder.name)
                checks.check(not wrong and run.poll() is None,
                             f"{folder.name} loads without missing or unexpected keys while training goes on {wrong}")
    return seen


def main():
    torch.set_num_threads(1)  # the ranks take every core; threads that wait for each other would crawl
    with Checks.in_folder("load") as (checks, root):
        _resume.make(root)
        output = root / "out"
        flags = _resume.flags(root, output, 2, 3, "--max_steps", STEPS, "--save_steps", EVERY, "--async_save", "True")
        with open(root / "log", "wb") as log:
            run = subprocess.Popen([_peer.ZT, *map(str, flags)], env={**os.environ, "OMP_NUM_THREADS": "1"},
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            seen = watch(checks, run, output)
        finally:
            run.terminate()
            run.wait(timeout=60)
        checks.check(len(seen) == WANTED, f"{len(seen)} of {WANTED} checkpoints were published and loaded in time")
        if checks.failed:
            print((root / "log").read_text(errors="replace")[-4000:])


if __name__ == "__main__":
    main()

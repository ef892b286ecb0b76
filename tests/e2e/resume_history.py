#!/usr/bin/env python3
"""Resumed runs whose past is not a straight line: an older checkpoint, another precision, a best model of before, skipped
steps in the log; and ranks that were not started alike."""

import json
import os
import shutil
import subprocess

import _peer
import _ports
import _resume
import _tiny_model
from _checks import Checks

EVALUATED = ("--eval_strategy", "steps", "--eval_steps", 2, "--save_steps", 2, "--save_total_limit", 1,
             "--load_best_model_at_end", "True", "--greater_is_better", "True", "--logging_steps", 1)


def flags(root, output, *extra):
    return ["train", "--use_cpu", "--nproc", 1, "--model_name_or_path", root / "model", "--train_file_dir",
            root / "data" / "train", "--validation_file_dir", root / "data" / "valid", "--output_dir", output, "--cache_dir",
            root / "cache", "--block_size", 16, "--per_device_train_batch_size", 2, "--learning_rate", 1e-3, *extra]


def check_older(checks, root):
    """Going on from an older checkpoint leaves the later ones behind: they are neither counted nor resumed."""
    output = root / "older"
    _peer.run_zt(*flags(root, output, "--max_steps", 8, "--save_steps", 2))
    done = _peer.run_zt(*flags(root, output, "--max_steps", 5, "--save_steps", 1, "--save_total_limit", 2,
                               "--resume_from_checkpoint", output / "checkpoint-2"))
    checks.check(_resume.checkpoints(output) == [4, 5], f"its own newest two stay: {_resume.checkpoints(output)}")
    aside = sorted(path.name for path in (output / "previous_run_1").iterdir())
    checks.check(aside == ["checkpoint-4", "checkpoint-6", "checkpoint-8"] and "of steps behind 2 aside" in done.stderr,
                 f"the later ones are set aside and the log says so: {aside}")
    done = _peer.run_zt(*flags(root, output, "--max_steps", 6, "--resume_from_checkpoint", "latest"))
    checks.check("checkpoint-5: step 5" in done.stderr, "latest is the newest of this run, not of the one left behind")


def check_precision(checks, root):
    """A checkpoint goes on in any precision, from its masters."""
    common = ("--max_steps", 2, "--learning_rate", 0, "--resume_from_checkpoint")
    bf16, fp32 = root / "bf16", root / "fp32"
    _peer.run_zt(*flags(root, bf16, "--bf16", "True", "--max_steps", 1))
    _peer.run_zt(*flags(root, fp32, *common, bf16 / "checkpoint-1"))
    masters = (bf16 / "checkpoint-1" / "zero" / "master.safetensors").read_bytes()
    checks.check((fp32 / "checkpoint-2" / "model.safetensors").read_bytes()[-1000:] == masters[-1000:],
                 "bf16 goes on in fp32 with exactly its masters")
    for name, source, precision in (("fp16", bf16 / "checkpoint-1", "--fp16"), ("back", fp32 / "checkpoint-2", "--bf16")):
        _peer.run_zt(*flags(root, root / name, precision, "True", *common, source))
        checks.check(_resume.checkpoints(root / name) == [2], f"{source.parent.name} goes on with {precision}")


def check_best(checks, root):
    """The best model of before the resume is kept and loaded: under another name of the folder, after skipped steps."""
    zero = json.dumps({"fp16": {"enabled": True, "initial_scale_power": 40}, "zero_optimization": {"stage": 1}})
    extra = (*EVALUATED, "--fp16", "True", "--deepspeed", zero)
    output = root / "best"
    _peer.run_zt(*flags(root, os.path.relpath(output), *extra, "--max_steps", 6))
    state = (output / "checkpoint-6" / "trainer_state.json").read_text()
    checks.check('"grad_norm": NaN' in state, "steps were skipped")
    best = 2  # the loss falls or stays, and the greatest is asked for
    checks.check(_resume.checkpoints(output) == [best, 6], f"the best and the newest are there: {_resume.checkpoints(output)}")
    done = _peer.run_zt(*flags(root, output.resolve(), *extra, "--max_steps", 10, "--resume_from_checkpoint", "latest"))
    checks.check(_resume.checkpoints(output) == [best, 10], f"the best one still is: {_resume.checkpoints(output)}")
    checks.check(f"loaded the best model: {output.resolve()}/checkpoint-{best}" in done.stderr, "and it is the final model")
    shutil.rmtree(output / f"checkpoint-{best}" / "zero")
    done = _peer.run_zt(*flags(root, output, *extra, "--max_steps", 12, "--resume_from_checkpoint", "latest"))
    checks.check("cannot be loaded, the last weights stay" in done.stderr, "a damaged best model is warned of, not a lost run")


def check_ranks(checks, root):
    """Two ranks that somebody started with other flags refuse to train together."""
    port = _ports.free_port()
    ranks = []
    for rank in range(2):
        command = flags(root, root / "apart", "--max_steps", 2, "--weight_decay", 0.1 * rank)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                       "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command[2:4] = []  # without --nproc: a rank of its own
        ranks.append(subprocess.Popen([_peer.ZT, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, env=environment))
    for rank in ranks:
        output = rank.communicate(timeout=100)[0]
        checks.check(rank.returncode == 2 and "rank 1 was started in another way than rank 0" in output and
                     "optimizer.weight_decay: got '0.1', rank 0 has '0'" in output, f"refused: {output[-300:]}")


def check_labels(checks, root):
    """A label beyond the vocabulary is an error, not a write behind the logits."""
    folder = root / "labels"
    folder.mkdir()
    row = {"input_ids": list(range(16)), "labels": [*range(15), 99999999]}
    (folder / "a.jsonl").write_text((json.dumps(row) + "\n") * 30)
    done = _peer.run_zt(*flags(root, root / "labelled", "--train_file_dir", folder, "--max_steps", 1), expect=3)
    checks.check("got 99999999, expected below 257" in done.stderr, "a label beyond the vocabulary is refused")


def main():
    with Checks.in_folder("history") as (checks, root):
        _tiny_model.make(root)
        check_older(checks, root)
        check_precision(checks, root)
        check_best(checks, root)
        check_ranks(checks, root)
        check_labels(checks, root)


if __name__ == "__main__":
    main()

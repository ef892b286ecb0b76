#!/usr/bin/env python3
"""Saving and resuming: other sizes and stages, signals, asynchronous saves, the best model, damaged checkpoints."""

import json
import signal

import _peer
import _resume
from _checks import Checks
from _resume import flags

SAVED, MORE = 3, 6  # the campaign has all sizes and stages, and 20 steps
LAST = 120  # enough to be still at work when the first checkpoint was looked at


def check_sizes(checks, root):
    """Saved at 4 ranks in stage 3; the next steps at other sizes, stages and offload."""
    full = root / "full"
    _peer.run_zt(*flags(root, full, 4, 3, "--max_steps", SAVED + MORE, "--save_steps", SAVED))
    reference = _resume.steps(full)
    checkpoint = full / f"checkpoint-{SAVED}"
    checks.check(_resume.checkpoints(full)[0] == SAVED and (checkpoint / "trainer_state.json").exists(),
                 "a checkpoint is there with its trainer_state.json")
    for world, stage, offload in ((1, 0, False), (3, 1, True), (5, 3, False)):
        output = root / f"world{world}"
        done = _peer.run_zt(*flags(root, output, world, stage, "--max_steps", SAVED + MORE, "--save_strategy", "no",
                                   "--resume_from_checkpoint", checkpoint, offload=offload, accumulation=1))
        steps = _resume.steps(output)
        worst = _resume.worst_difference(steps, reference)
        checks.check(len(steps) == MORE and worst < 1e-6,
                     f"{world} ranks, stage {stage}, offload {offload}: {len(steps)} losses within {worst:.1e}")
        checks.check("the global batch stays 120 sequences" in done.stderr, "the log says that the global batch stays")
    again = root / "again"
    _peer.run_zt(*flags(root, again, 4, 3, "--max_steps", SAVED + MORE, "--save_strategy", "no",
                        "--resume_from_checkpoint", checkpoint))
    checks.check(_resume.steps(again) == reference[SAVED:] and
                 (again / "model.safetensors").read_bytes() == (full / "model.safetensors").read_bytes(),
                 "4 ranks again: the undisturbed run, bit for bit")
    done = _peer.run_zt(*flags(root, root / "seven", 7, 2, "--max_steps", 5, "--resume_from_checkpoint", checkpoint,
                               accumulation=1), expect=2)
    checks.check("global batch is 120 sequences" in done.stderr and "Use a number of ranks that divides" in done.stderr,
                 "7 ranks are refused, with what would do")


def check_reshard(checks, root):
    """4 > 3 > 4 ranks without a step between: the same bytes."""
    first = root / "full" / f"checkpoint-{SAVED}"
    at_three = root / "three"
    done = _peer.run_zt(*flags(root, at_three, 3, 1, "--max_steps", SAVED, "--resume_from_checkpoint", first))
    checks.check("there is no step left to train" in done.stderr, "a run behind its last step says so")
    at_four = root / "four"
    _peer.run_zt(*flags(root, at_four, 4, 3, "--max_steps", SAVED, "--resume_from_checkpoint",
                        at_three / f"checkpoint-{SAVED}"))
    expected = _resume.tensors(first)
    checks.check(len(expected) == 3 and _resume.tensors(at_three / first.name) == expected and
                 _resume.tensors(at_four / first.name) == expected, "4 > 3 > 4 ranks leave every tensor file as it was")


def check_signals(checks, root):
    """SIGUSR1 saves, SIGTERM saves and stops, latest goes on: the undisturbed run, bit for bit."""
    from transformers import AutoModelForCausalLM
    AutoModelForCausalLM.from_pretrained(root / "model")  # slow the first time
    common = ("--bf16", "True", "--max_steps", LAST, "--save_steps", 1000, "--logging_steps", 7)
    shape = {"batch": 2, "accumulation": 2}
    whole, cut = root / "whole", root / "cut"
    _peer.run_zt(*flags(root, whole, 2, 2, *common, **shape))
    process = _resume.start_zt(*flags(root, cut, 2, 2, *common, "--async_save", "True", **shape))
    _resume.wait_for(lambda: _resume.lines(cut) >= 2, process)
    process.send_signal(signal.SIGUSR1)
    checks.check(_resume.wait_for(lambda: _resume.checkpoints(cut), process), "SIGUSR1 saves a checkpoint")
    step = _resume.checkpoints(cut)[0]
    _, info = AutoModelForCausalLM.from_pretrained(cut / f"checkpoint-{step}", output_loading_info=True)
    checks.check(not any(info.values()), f"it loads in transformers without missing or unexpected keys: {info}")
    code, output = _resume.stop(process)
    saved = _resume.checkpoints(cut)
    checks.check(code == 75 and _resume.lines(cut) == saved[-1] < LAST,
                 f"SIGTERM saves at step {saved[-1]} and ends with 75: {code}")
    checks.check("go on with --resume_from_checkpoint latest" in output, "the log says how to go on")
    checks.check(not (cut / "model.safetensors").exists(), "no final model is there yet")
    with (cut / "metrics.jsonl").open("a") as file:
        file.write('{"step": 121, "loss": 1')  # of a step that was cut
    _peer.run_zt(*flags(root, cut, 2, 2, *common, "--async_save", "True", "--resume_from_checkpoint", "latest", **shape))
    checks.check(_resume.steps(cut) == _resume.steps(whole), "metrics.jsonl is that of the undisturbed run")
    checks.check(_resume.tensors(cut / f"checkpoint-{LAST}") == _resume.tensors(whole / f"checkpoint-{LAST}"),
                 "so is the last checkpoint, written asynchronously, bit for bit")
    histories = [[{k: e[k] for k in ("step", "loss")} for e in json.loads((folder / "trainer_state.json").read_text())
                  ["log_history"] if "loss" in e] for folder in (cut, whole)]
    checks.check(histories[0] == histories[1] and len(histories[0]) == LAST // 7, "so is the log history")
    return cut


def check_damage(checks, root, cut):
    """A flipped byte: latest passes over that checkpoint and says why."""
    newest = cut / f"checkpoint-{LAST}" / "zero" / "exp_avg.safetensors"
    data = bytearray(newest.read_bytes())
    data[-5] ^= 4
    newest.write_bytes(data)
    before = _resume.checkpoints(cut)[-2]
    done = _peer.run_zt(*flags(root, cut, 2, 2, "--bf16", "True", "--max_steps", before + 1, "--resume_from_checkpoint",
                               "latest", batch=2, accumulation=2))
    checks.check("skipped" in done.stderr and "exp_avg.safetensors" in done.stderr and
                 f"checkpoint-{before}: step {before}" in done.stderr,
                 "a damaged checkpoint is skipped with its file named")
    checks.check([path.name for path in (cut / "previous_run_1").iterdir()] == [f"checkpoint-{LAST}"] and
                 _resume.checkpoints(cut)[-1] == before + 1, "and set aside: the newest is what the run saved since")
    done = _peer.run_zt(*flags(root, cut, 2, 2, "--bf16", "True", "--max_steps", 2, batch=2, accumulation=2), expect=2)
    checks.check("--resume_from_checkpoint latest" in done.stderr, "a folder with checkpoints is refused without resume")
    done = _peer.run_zt(*flags(root, cut, 1, 0, "--max_steps", 1, "--overwrite_output_dir", "True", accumulation=1))
    aside = list((cut / "previous_run_2").iterdir())
    checks.check(len(aside) >= 2 and "set" in done.stderr and "aside" in done.stderr and
                 _resume.checkpoints(cut) == [1], "overwriting sets the old checkpoints aside and deletes none")


def check_best(checks, root):
    """The best checkpoint outlives the limit and is the final model; --init_from takes weights alone."""
    output = root / "best"
    extra = ("--max_steps", 8, "--save_steps", 2, "--eval_strategy", "steps", "--eval_steps", 2, "--save_total_limit", 2,
             "--load_best_model_at_end", "True", "--greater_is_better", "True", "--validation_file_dir",
             root / "data" / "valid")
    _peer.run_zt(*flags(root, output, 1, 0, *extra, batch=4, accumulation=1))
    state = json.loads((output / "checkpoint-8" / "trainer_state.json").read_text())
    evaluations = {e["step"]: e["eval_loss"] for e in state["log_history"] if "eval_loss" in e}
    best = max(evaluations, key=evaluations.get)
    checks.check(state["best_global_step"] == best and state["best_metric"] == evaluations[best] and best < 8,
                 f"trainer_state.json names the best step {best} of {evaluations}")
    checks.check(_resume.checkpoints(output) == sorted({best, 8}), f"best and newest stay: {_resume.checkpoints(output)}")
    weights = (output / f"checkpoint-{best}" / "model.safetensors").read_bytes()
    checks.check((output / "model.safetensors").read_bytes()[-1000:] == weights[-1000:], "the final model is the best one")
    fresh = root / "fresh"
    _peer.run_zt(*flags(root, fresh, 1, 0, "--max_steps", 1, "--init_from", output / f"checkpoint-{best}", "--learning_rate",
                        0, "--max_train_time", "1h", batch=4, accumulation=1))
    checks.check(_resume.steps(fresh)[0][0] == 1 and
                 (fresh / "model.safetensors").read_bytes()[-1000:] == weights[-1000:], "--init_from starts at step 1")
    damaged = output / f"checkpoint-{best}" / "model.safetensors"
    damaged.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    done = _peer.run_zt(*flags(root, root / "refused", 1, 0, "--max_steps", 1, "--init_from", damaged.parent, batch=4,
                               accumulation=1), expect=3)
    checks.check("is damaged" in done.stderr and "model.safetensors" in done.stderr,
                 "--init_from verifies a checkpoint before it trains from it")


def main():
    with Checks.in_folder("resume") as (checks, root):
        _resume.make(root)
        check_sizes(checks, root)
        check_reshard(checks, root)
        cut = check_signals(checks, root)
        check_damage(checks, root, cut)
        check_best(checks, root)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Event files, trainer_state.json and result files, as tensorboard and transformers read them.

The same run is made by transformers' Trainer, which also writes its event file: tags, steps and values are compared.
Losses are fp32 of two implementations: 1e-4 relative, as in parity_30_steps.
"""

import csv
import json
import math
import os
import signal
import subprocess
import time

import torch

import _peer
from _checks import Checks

STEPS, BATCH, LOG, EVAL, RATE = 7, 4, 2, 3, 1e-3
EVAL_BATCH = 3  # of 8 samples: the last batch has two
TEXT = _peer.EXAMPLE / "valid"
TIMES = {"runtime", "samples_per_second", "steps_per_second"}


def is_time(name):
    return any(name.endswith(end) for end in TIMES)


def zt_flags(root, output, *extra):
    return ["train", "--use_cpu", "--nproc", 1, "--model_name_or_path", root / "model", "--train_file_dir", TEXT,
            "--validation_file_dir", TEXT, "--output_dir", output, "--do_train", "--do_eval", "--block_size",
            _peer.BLOCK, "--per_device_train_batch_size", BATCH, "--per_device_eval_batch_size", EVAL_BATCH,
            "--learning_rate", RATE, "--logging_steps", LOG, "--logging_first_step", "--eval_strategy", "steps",
            "--eval_steps", EVAL, "--max_eval_samples", 8, *extra]


def hf_run(root, output):
    """The Trainer on the same blocks, followed as the usual scripts do it."""
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(output / "runs" / "one")
    rows = [{"input_ids": row, "labels": row} for row in _peer.blocks(root / "model", TEXT)]
    arguments = TrainingArguments(
        output_dir=output, use_cpu=True, max_steps=STEPS, per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=EVAL_BATCH, learning_rate=RATE, logging_steps=LOG, logging_first_step=True,
        eval_strategy="steps", eval_steps=EVAL, save_strategy="no", report_to="tensorboard", disable_tqdm=True,
        optim="adamw_torch", dataloader_pin_memory=False)
    network = AutoModelForCausalLM.from_pretrained(root / "model", dtype=torch.float32)
    trainer = Trainer(model=network, args=arguments, train_dataset=rows, eval_dataset=rows[:8])
    metrics = {**trainer.train().metrics, "train_samples": len(rows)}
    trainer.save_metrics("train", metrics)
    trainer.save_state()
    metrics = trainer.evaluate()
    metrics.update(eval_samples=8, perplexity=math.exp(metrics["eval_loss"]))
    trainer.save_metrics("eval", metrics)


def curves(folder):
    """Tag -> [(step, value)], text page -> text, the first event file: read by tensorboard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    files = sorted(folder.glob("**/events.out.tfevents.*"))
    reader = EventAccumulator(str(files[0].parent), size_guidance={"scalars": 0, "tensors": 0})
    reader.Reload()
    scalars = {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    texts = {tag: reader.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in reader.Tags()["tensors"]}
    return scalars, texts, files[0]


def close(mine, theirs):
    return math.isclose(mine, theirs, rel_tol=1e-4, abs_tol=1e-9)


def check_curves(checks, mine, theirs):
    scalars, texts, path = curves(mine)
    expected, expected_texts, _ = curves(theirs)
    checks.check(path.parent.parent == mine / "runs", f"the event file lies in {path.parent.relative_to(mine)}")
    extra = set(scalars) - set(expected)
    checks.check(extra == {"eval/perplexity"} and set(expected) <= set(scalars),
                 f"the tags are the Trainer's and {extra}")
    for tag, points in expected.items():
        if is_time(tag):
            continue
        points, own = dict(points), dict(scalars[tag])  # the Trainer evaluates twice after the last step
        same = list(points) == list(own) and all(close(own[step], points[step]) for step in points)
        checks.check(same, f"{tag}: steps and values are the Trainer's: {points}")
    checks.check(set(texts) == set(expected_texts), f"text pages: {sorted(texts)}")
    arguments = json.loads(texts["args/text_summary"])
    checks.check(arguments["learning_rate"] == RATE and arguments["logging_steps"] == LOG, "the page args has the flags")
    checks.check(json.loads(texts["model_config/text_summary"])["model_type"] == "qwen3", "the model's config is there")
    return scalars


def check_exact_values(checks, output, scalars):
    """What the curves say is what metrics.jsonl says: the mean loss since the last log, the rest of the step."""
    records, last = _peer.metrics(output), 0
    for step, value in scalars["train/loss"]:
        window = [record["loss"] for record in records[last:step]]
        mean, last = sum(window) / len(window), step
        checks.check(torch.tensor(mean, dtype=torch.float32).item() == value, f"step {step}: loss is the mean of {len(window)}")
    for step, value in scalars["train/grad_norm"]:
        exact = torch.tensor(records[step - 1]["grad_norm"], dtype=torch.float32).item()
        checks.check(exact == value, f"step {step}: grad_norm is that of the step")


def same_entry(mine, theirs):
    return set(mine) == set(theirs) and all(is_time(k) or close(mine[k], theirs[k]) for k in theirs)


def check_state(checks, mine, theirs):
    from transformers.trainer_callback import TrainerState
    state = TrainerState.load_from_json(str(mine / "trainer_state.json"))
    expected = TrainerState.load_from_json(str(theirs / "trainer_state.json"))
    checks.check(state.global_step == STEPS and state.is_world_process_zero, "TrainerState.load_from_json reads the file")
    keys = {name: list(json.loads((folder / "trainer_state.json").read_text())) for name, folder in
            (("mine", mine), ("theirs", theirs))}
    checks.check(keys["mine"] == keys["theirs"], "its keys are the Trainer's, sorted")
    for name in ("epoch", "max_steps", "num_train_epochs", "logging_steps", "eval_steps", "save_steps", "best_metric",
                 "best_global_step", "train_batch_size", "total_flos"):
        checks.check(getattr(state, name) == getattr(expected, name), f"{name} is {getattr(expected, name)}")
    # The Trainer's last evaluation of the training loop comes before the entry with the totals, ours after it.
    is_last = [entry["step"] == STEPS and "eval_loss" in entry for entry in expected.log_history]
    history = [e for e, last in zip(expected.log_history, is_last) if not last]
    history += [e for e, last in zip(expected.log_history, is_last) if last]
    checks.check(len(state.log_history) == len(history) and all(map(same_entry, state.log_history, history)),
                 f"the log history has the Trainer's {len(history)} entries")


def check_results(checks, mine, theirs):
    for name in ("train_results", "eval_results", "all_results"):
        text, expected = (mine / f"{name}.json").read_text(), json.loads((theirs / f"{name}.json").read_text())
        if "train_loss" in expected:  # the Trainer's printer takes this one out of the results on its way
            expected["total_flos"] = json.loads((theirs / "trainer_state.json").read_text())["total_flos"]
        checks.check(same_entry(json.loads(text), expected), f"{name}.json has the Trainer's keys and values")
        checks.check(text == json.dumps(json.loads(text), indent=4, sort_keys=True), f"{name}.json is laid out as Python does")


def check_csv(checks, output, scalars):
    with open(output / "log_history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    losses = [(int(r["step"]), torch.tensor(float(r["loss"])).item()) for r in rows if r["loss"]]
    checks.check(losses == scalars["train/loss"], "log_history.csv has the same losses")
    checks.check([int(r["step"]) for r in rows if r["eval_loss"]] == [3, 6, 7], "and the evaluations")


def check_killed_run(checks, root):
    """SIGKILL at some step: the event file is readable up to the last log."""
    output, board = root / "killed", root / "board"
    command = [_peer.ZT, *map(str, zt_flags(root, output, "--max_steps", 100000, "--report_to", "tensorboard",
                                            "--logging_dir", board, "--logging_steps", 1))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}) as run:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and run.poll() is None:
            path = output / "metrics.jsonl"
            if path.exists() and len(path.read_text().splitlines()) >= 8:
                break
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.wait()
    done = len((output / "metrics.jsonl").read_text().splitlines())
    scalars, _, path = curves(board)
    checks.check(path.parent == board, "--logging_dir names the folder of the event file")
    points = scalars["train/loss"]
    checks.check(len(points) >= max(7, done - 1), f"a killed run leaves {len(points)} points of {done} steps")


def main():
    torch.set_num_threads(2)
    with Checks.in_folder("outputs") as (checks, root):
        _peer.make_model(root / "model")
        _peer.run_zt(*zt_flags(root, root / "zt", "--max_steps", STEPS, "--report_to", "all"))
        hf_run(root, root / "hf")
        scalars = check_curves(checks, root / "zt", root / "hf")
        check_exact_values(checks, root / "zt", scalars)
        check_state(checks, root / "zt", root / "hf")
        check_results(checks, root / "zt", root / "hf")
        check_csv(checks, root / "zt", scalars)
        check_killed_run(checks, root)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Flags and filled "auto" keys equal Hugging Face's own parser and its DeepSpeed integration.

usage: config_flags.py [PATH_TO_config_peer_tool]   (default: in $ZT_BUILD_DIR)
The methods of the Trainer's HfTrainerDeepSpeedConfig fill a DeepSpeed dict from TrainingArguments; its base
class is accelerate's here, as it would be with the deepspeed package installed. Prints PASS or FAIL; exits 1 on any difference.
"""
import copy
import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
import types

from transformers import HfArgumentParser, TrainingArguments

from _filler import Filler

TOOL = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.environ.get("ZT_BUILD_DIR", "build"), "src", "config", "config_peer_tool")
WORLD, HIDDEN, STEPS = 2, 64, 100
OUT = tempfile.mkdtemp()
failed = False

# Our field for a TrainingArguments field of another name or section.
FIELDS = {"learning_rate": "optimizer.learning_rate", "weight_decay": "optimizer.weight_decay",
          "adam_beta1": "optimizer.beta1", "adam_beta2": "optimizer.beta2",
          "adam_epsilon": "optimizer.epsilon", "max_grad_norm": "optimizer.max_grad_norm",
          "warmup_steps": "lr_schedule.warmup_steps", "lr_scheduler_type": "lr_schedule.kind",
          "num_train_epochs": "run.num_train_epochs", "max_steps": "run.max_steps",
          "per_device_train_batch_size": "run.per_device_train_batch_size",
          "per_device_eval_batch_size": "run.per_device_eval_batch_size",
          "gradient_accumulation_steps": "run.gradient_accumulation_steps", "seed": "run.seed",
          "do_eval": "run.do_eval", "ddp_timeout": "run.ddp_timeout_seconds",
          "dataloader_drop_last": "data.dataloader_drop_last",
          "logging_first_step": "run.logging_first_step"}

# Ours is automatic when it is not given; its result is the same.
AUTOMATIC = {"per_device_eval_batch_size"}

COMMAND_LINES = [
    "",
    "--learning_rate 2e-4 --weight-decay 0.01 --adam_beta2=0.95 --warmup_steps 5",
    "--learning-rate=3e-5 --warmup_steps 0.25 --lr_scheduler_type cosine --seed 7 --seed 9",
    "--do_eval --dataloader_drop_last True --logging_first_step yes --max_steps 20",
    "--do_eval False --dataloader_drop_last no --num_train_epochs 0.5 --max_grad_norm 0",
    "--per_device_train_batch_size 4 --per_device_eval_batch_size 2 --gradient_accumulation_steps 8",
    "--eval_strategy steps --eval_steps 5 --ddp_timeout 30000 --adam_epsilon 1e-6",
    "--lr_scheduler_type constant_with_warmup --adam_beta1 .8 --max_steps -1",
    "--ddp_find_unused_parameters False --save_steps 50 --report_to none --no_dataloader_pin_memory",
]
BAD_COMMAND_LINES = [
    "--learing_rate 1", "--do_eval maybe", "--learning_rate", "--seed x", "--max_steps 1.5", "stray",
    "--eval_strategy sometimes", "--lr_scheduler_type unknown", "--ddp_find_unused_parameters",
]

AUTO = {
    "bf16": {"enabled": "auto"}, "fp16": {"enabled": "auto"},
    "optimizer": {"type": "AdamW", "params": {
        "lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"}},
    "scheduler": {"type": "WarmupDecayLR", "params": {
        "warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto",
        "total_num_steps": "auto"}},
    "zero_optimization": {
        "stage": 3, "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto"},
    "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto", "gradient_clipping": "auto"}


def report(name, good, detail=""):
    global failed
    failed |= not good
    print("PASS" if good else "FAIL", name, "" if good else detail)


def ours(args):
    """Our resolved tree, or the text of the refusal."""
    done = subprocess.run([TOOL, "train", *args], capture_output=True, text=True, check=False)
    if done.returncode == 2:
        return None, done.stderr
    if done.returncode:
        sys.exit(f"FAIL the tool ended with {done.returncode}: {done.stderr}")
    tree = {}
    for line in done.stdout.splitlines():
        name, equals, rest = line.partition(" = ")
        if equals:
            tree[name] = rest.split("  (")[0]
    return tree, ""


def theirs(args):
    parser = HfArgumentParser(TrainingArguments)
    stderr = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        return parser.parse_args_into_dataclasses(["--output_dir", OUT, "--use_cpu", *args])[0]
    except (SystemExit, ValueError):
        return None
    finally:
        os.dup2(stderr, 2)


def same(value, text):
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, (int, float)):
        return text != "auto" and float(text) == float(value)
    return str(getattr(value, "value", value)) == text


def check_names():
    known = set(subprocess.run([TOOL, "flags"], capture_output=True, text=True, check=True).stdout.split())
    missing = sorted({f.name for f in dataclasses.fields(TrainingArguments) if f.init} - known)
    report("every field of TrainingArguments is a known flag", not missing, missing)


def check_command_lines():
    for line in COMMAND_LINES:
        tree, error = ours(line.split())
        arguments = theirs(line.split())
        wrong = [error] if tree is None else [
            (name, getattr(arguments, name), tree[field]) for name, field in FIELDS.items()
            if not same(getattr(arguments, name), tree[field])
            and not (name in AUTOMATIC and tree[field] == "auto" and f"--{name}" not in line)]
        report(f"values of: {line or '(no flags)'}", arguments is not None and not wrong, wrong)
    for line in BAD_COMMAND_LINES:
        tree, _ = ours(line.split())
        report(f"both refuse: {line}", tree is None and theirs(line.split()) is None)


def filled(document, arguments):
    """The Trainer's own resolution of a DeepSpeed dict, or its complaint."""
    config = Filler(copy.deepcopy(document))
    model = types.SimpleNamespace(config=types.SimpleNamespace(hidden_size=HIDDEN))
    try:
        config.trainer_config_process(arguments)
        config.trainer_config_finalize(arguments, model, STEPS)
    except ValueError as error:
        return None, str(error)
    return config.config, ""


def arguments_of(line):
    arguments = theirs(line.split())
    # What two started ranks would have; the property reads it through a method of the class.
    type(arguments).world_size = property(lambda self: WORLD)
    return arguments


def check_auto():
    line = ("--learning_rate 2e-4 --weight_decay 0.1 --adam_beta2 0.95 --adam_epsilon 1e-7 --warmup_steps 7 "
            "--per_device_train_batch_size 4 --gradient_accumulation_steps 8 --max_grad_norm 0.5 --bf16")
    config, error = filled(AUTO, arguments_of(line))
    tree, refusal = ours([*line.split(), "--deepspeed", json.dumps(AUTO)])
    if config is None or tree is None:
        report("auto keys are filled", False, error + refusal)
        return
    params, scheduler = config["optimizer"]["params"], config["scheduler"]["params"]
    zero = config["zero_optimization"]
    expected = {
        "optimizer.learning_rate": params["lr"], "optimizer.beta1": params["betas"][0],
        "optimizer.beta2": params["betas"][1], "optimizer.epsilon": params["eps"],
        "optimizer.weight_decay": params["weight_decay"],
        "optimizer.max_grad_norm": config["gradient_clipping"],
        "lr_schedule.warmup_min_lr": scheduler["warmup_min_lr"],
        "lr_schedule.warmup_steps": scheduler["warmup_num_steps"],
        "zero.reduce_bucket_size": zero["reduce_bucket_size"],
        "zero.prefetch_bucket_size": math.floor(zero["stage3_prefetch_bucket_size"]),
        "zero.param_persistence_threshold": zero["stage3_param_persistence_threshold"],
        "run.per_device_train_batch_size": config["train_micro_batch_size_per_gpu"],
        "run.gradient_accumulation_steps": config["gradient_accumulation_steps"]}
    wrong = [(k, v, tree[k]) for k, v in expected.items() if not same(v, tree[k])]
    report("auto keys have the Trainer's values", not wrong, wrong)
    report("the peak of the schedule is the learning rate",
           scheduler["warmup_max_lr"] == params["lr"] and tree["lr_schedule.warmup_max_lr"] == "auto")
    report("bf16 auto follows the flag", config["bf16"]["enabled"] and tree["precision.compute"] == "bf16")
    report("train_batch_size auto is the product",
           config["train_batch_size"] == WORLD * 4 * 8, config["train_batch_size"])


def check_disagreements():
    """Values that contradict explicit flags: both refuse and name the same keys."""
    document = copy.deepcopy(AUTO)
    document["bf16"]["enabled"] = True
    document["fp16"]["enabled"] = False
    document["optimizer"]["params"]["lr"] = 1e-3
    document["gradient_accumulation_steps"] = 2
    document["gradient_clipping"] = 0.3
    document["scheduler"]["params"]["warmup_num_steps"] = 9
    line = ("--learning_rate 2e-4 --gradient_accumulation_steps 8 --max_grad_norm 0.5 --bf16 False "
            "--warmup_steps 7")
    _, error = filled(document, arguments_of(line))
    _, refusal = ours([*line.split(), "--deepspeed", json.dumps(document)])
    for key in ("lr", "gradient_accumulation_steps", "gradient_clipping", "bf16.enabled", "warmup_num_steps"):
        report(f"both name the disagreement of {key}", key in error and key in refusal, (error, refusal))


check_names()
check_command_lines()
check_auto()
check_disagreements()
sys.exit(1 if failed else 0)

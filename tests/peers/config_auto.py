#!/usr/bin/env python3
"""The batch triple and every "auto" of 500 random inputs equal what transformers and accelerate compute.

usage: config_auto.py [PATH_TO_config_peer_tool]   (default: in $ZT_BUILD_DIR; $ZT_CONFIG_SEED: another sample)
400 inputs are DeepSpeed files with flags, where each key is "auto", agrees with its flag or disagrees: the
Trainer's own code fills and checks them, and ours has to give the same numbers or refuse the same keys. 100 are
settings of `accelerate launch` without a file, which accelerate's DeepSpeedPlugin turns into a configuration.
"""
import copy
import json
import os
import random
import subprocess
import sys
import tempfile
import types

from accelerate.utils import DeepSpeedPlugin
from transformers import HfArgumentParser, TrainingArguments

from _filler import Filler

TOOL = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.environ.get("ZT_BUILD_DIR", "build"), "src", "config", "config_peer_tool")
SEED = int(os.environ.get("ZT_CONFIG_SEED", "20261121"))
OUT = tempfile.mkdtemp()
failures = []

# Key of the file, flag that fills it, values to draw from.
KEYS = [
    ("train_micro_batch_size_per_gpu", "per_device_train_batch_size", [1, 2, 3, 8]),
    ("gradient_accumulation_steps", "gradient_accumulation_steps", [1, 2, 5, 16]),
    ("gradient_clipping", "max_grad_norm", [0.5, 1.0, 2.5]),
    ("optimizer.params.lr", "learning_rate", [1e-5, 2e-4, 0.003]),
    ("optimizer.params.eps", "adam_epsilon", [1e-8, 1e-6]),
    ("optimizer.params.weight_decay", "weight_decay", [0.0, 0.01, 0.1]),
    ("scheduler.params.warmup_max_lr", "learning_rate", [1e-5, 2e-4, 0.003]),
    ("scheduler.params.warmup_num_steps", "warmup_steps", [1, 7, 40]),
    ("scheduler.params.total_num_steps", "max_steps", [50, 200]),
    ("bf16.enabled", "bf16", [True, False]),
]


def put(document, path, value):
    *sections, name = path.split(".")
    for section in sections:
        document = document.setdefault(section, {})
    document[name] = value


def random_input(rng):
    world, hidden = rng.choice([1, 2, 3, 4, 8]), rng.choice([64, 96, 1024, 1000])
    flags = {flag: rng.choice(values) for _, flag, values in KEYS}
    flags.update(adam_beta1=rng.choice([0.8, 0.9]), adam_beta2=rng.choice([0.95, 0.999]))
    document = {"optimizer": {"type": "AdamW"}, "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_min_lr": "auto"}},
                "fp16": {"enabled": "auto"}, "zero_optimization": {"stage": rng.randrange(4)}}
    odds = rng.choice([0.0, 0.0, 0.15])  # of a disagreement
    for key, flag, values in KEYS:
        draw = rng.random()
        others = [v for v in values if v != flags[flag]]
        put(document, key, rng.choice(others) if draw < odds else flags[flag] if draw < 0.4 else "auto")
    put(document, "optimizer.params.betas",
        "auto" if rng.random() < 0.6 else [flags["adam_beta1"], flags["adam_beta2"]])
    product = world * flags["per_device_train_batch_size"] * flags["gradient_accumulation_steps"]
    document["train_batch_size"] = "auto" if rng.random() < 0.6 else product + (1 if rng.random() < odds else 0)
    for name, value in (("reduce_bucket_size", 5_000), ("stage3_prefetch_bucket_size", 700),
                        ("stage3_param_persistence_threshold", 90)):
        document["zero_optimization"][name] = "auto" if rng.random() < 0.7 else value
    return world, hidden, flags, document


def number(text):
    return float(text)


def theirs(world, hidden, flags, document, parser):
    line = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    arguments = parser.parse_args_into_dataclasses(["--output_dir", OUT, "--use_cpu", *line])[0]
    proxy = types.SimpleNamespace(**{name: getattr(arguments, name) for name in flags},
                                  world_size=world, save_on_each_node=False, fp16=False, fp16_full_eval=False,
                                  bf16_full_eval=False, get_warmup_steps=arguments.get_warmup_steps)
    config = Filler(copy.deepcopy(document))
    model = types.SimpleNamespace(config=types.SimpleNamespace(hidden_size=hidden))
    try:
        config.trainer_config_process(proxy)
        config.trainer_config_finalize(proxy, model, flags["max_steps"])
    except ValueError as error:
        return line, None, str(error)
    return line, config.config, ""


def compare_trainer(index, made, answer):
    world, hidden, flags, document, line, config, complaint = made
    accepted, text = answer
    if (config is not None) != accepted:
        failures.append(f"input {index}: the Trainer says {complaint or 'ok'!r}, zt says {text[:400]!r}: {document} {line}")
        return
    if config is None:
        names = [row.split("=")[0].split("ds ")[1] for row in complaint.splitlines() if row.startswith("- ds ")]
        missing = [name for name in names if name.split(".")[-1] not in text]
        if missing:
            failures.append(f"input {index}: not named: {missing} in {text}")
        return
    params, schedule, zero = config["optimizer"]["params"], config["scheduler"]["params"], config["zero_optimization"]
    expected = {
        "run.per_device_train_batch_size": config["train_micro_batch_size_per_gpu"],
        "run.gradient_accumulation_steps": config["gradient_accumulation_steps"],
        "optimizer.max_grad_norm": config["gradient_clipping"], "optimizer.learning_rate": params["lr"],
        "optimizer.beta1": params["betas"][0], "optimizer.beta2": params["betas"][1],
        "optimizer.epsilon": params["eps"], "optimizer.weight_decay": params["weight_decay"],
        "zero.stage": zero["stage"], "zero.reduce_bucket_size": zero["reduce_bucket_size"]}
    if zero["stage"] == 3:
        expected["zero.prefetch_bucket_size"] = zero["stage3_prefetch_bucket_size"]
        expected["zero.param_persistence_threshold"] = zero["stage3_param_persistence_threshold"]
    tree = tree_of(text)
    wrong = [(k, v, tree[k]) for k, v in expected.items() if number(tree[k]) != float(v)]
    # Our tree keeps "taken from the run" as auto: the flag then says it.
    for field, key, flag in (("warmup_max_lr", "warmup_max_lr", "learning_rate"),
                             ("warmup_num_steps", "warmup_num_steps", "warmup_steps"),
                             ("total_num_steps", "total_num_steps", "max_steps")):
        ours = tree[f"lr_schedule.{field}"]
        value = float(flags[flag]) if ours == "auto" else number(ours)
        if value != float(schedule[key]):
            wrong.append((key, schedule[key], ours))
    if (tree["precision.compute"] == "bf16") != bool(config["bf16"]["enabled"]):
        wrong.append(("bf16", config["bf16"], tree["precision.compute"]))
    total = world * int(tree["run.per_device_train_batch_size"]) * int(tree["run.gradient_accumulation_steps"])
    if total != config["train_batch_size"]:
        wrong.append(("train_batch_size", config["train_batch_size"], total))
    if wrong:
        failures.append(f"input {index}: (key, Trainer, zt) {wrong}: {document} {line}")


def random_launch(rng):
    stage = rng.randrange(4)
    settings = {"zero_stage": stage}
    if stage and rng.random() < 0.5:
        settings["offload_optimizer_device"] = rng.choice(["none", "cpu"])
    if stage == 3 and rng.random() < 0.5:
        settings["offload_param_device"] = rng.choice(["none", "cpu"])
    if rng.random() < 0.5:
        settings["gradient_accumulation_steps"] = rng.choice([1, 4, 9])
    if rng.random() < 0.5:
        settings["gradient_clipping"] = rng.choice([0.5, 2.0])
    if rng.random() < 0.5:
        settings["zero3_save_16bit_model"] = rng.choice(["true", "false"])
    if rng.random() < 0.2:
        del settings["zero_stage"]  # accelerate's default
        for name in ("offload_optimizer_device", "offload_param_device"):
            settings.pop(name, None)
    return settings


def plugin_of(settings):
    names = {"gradient_accumulation_steps": "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
             "gradient_clipping": "ACCELERATE_GRADIENT_CLIPPING"}
    before = dict(os.environ)
    try:
        for name, value in settings.items():
            os.environ[names.get(name, "ACCELERATE_DEEPSPEED_" + name.upper())] = str(value)
        return DeepSpeedPlugin().deepspeed_config
    finally:
        os.environ.clear()
        os.environ.update(before)


def compare_launch(index, settings, config, answer):
    accepted, text = answer
    if not accepted:
        failures.append(f"launch {index}: refused: {text[:400]}: {settings}")
        return
    tree, zero = tree_of(text), config["zero_optimization"]
    place = {"none": "device", "cpu": "host"}
    expected = {"zero.stage": str(zero["stage"]), "zero.optimizer_place": place[zero["offload_optimizer"]["device"]],
                "zero.param_place": place[zero["offload_param"]["device"]],
                "zero.gather_16bit_on_save": str(zero["stage3_gather_16bit_weights_on_model_save"]).lower()}
    wrong = [(k, v, tree[k]) for k, v in expected.items() if tree[k] != v]
    for key, field in (("gradient_accumulation_steps", "run.gradient_accumulation_steps"),
                       ("gradient_clipping", "optimizer.max_grad_norm")):
        value = config.get(key, "auto")
        if value != "auto" and number(tree[field]) != float(value):
            wrong.append((key, value, tree[field]))
    if wrong:
        failures.append(f"launch {index}: (key, accelerate, zt) {wrong}: {settings}")


def tree_of(text):
    rows = (line.partition(" = ") for line in text.splitlines())
    return {name: rest.split("  (")[0] for name, equals, rest in rows if equals}


def ask(lines):
    done = subprocess.run([TOOL, "many"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    blocks = done.stdout.split("\x1e\n")[:-1]
    return [(block.startswith("ok\n"), block.split("\n", 1)[1]) for block in blocks]


rng = random.Random(SEED)
parser = HfArgumentParser(TrainingArguments)
inputs = []
for _ in range(400):
    world, hidden, flags, document = random_input(rng)
    inputs.append((world, hidden, flags, document, *theirs(world, hidden, flags, document, parser)))
launches = [random_launch(rng) for _ in range(100)]
lines = [f"{world}\t{hidden}\t--deepspeed\t{json.dumps(document)}\t" + "\t".join(line)
         for world, hidden, _, document, line, _, _ in inputs]
lines += ["2\t64\t--use_deepspeed\t" + "\t".join(f"--{k}\t{v}" for k, v in s.items()) for s in launches]
answers = ask(lines)
assert len(answers) == 500, len(answers)
for index, (made, answer) in enumerate(zip(inputs, answers)):
    compare_trainer(index, made, answer)
for index, (settings, answer) in enumerate(zip(launches, answers[400:])):
    compare_launch(index, settings, plugin_of(settings), answer)
refused = sum(config is None for *_, config, _ in inputs)
for failure in failures[:20]:
    print("FAIL", failure)
print(f"{'FAIL' if failures else 'PASS'} seed {SEED}: 400 files ({refused} refused by both) and 100 launch settings, "
      f"{len(failures)} differ")
sys.exit(1 if failures or not 20 <= refused <= 300 else 0)

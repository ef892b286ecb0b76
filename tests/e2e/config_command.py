#!/usr/bin/env python3
"""`zt config` and every form of configuration file, as a user types them; exit codes and messages.

usage: config_command.py [ZT]   (default: zt in the root)
"""
import json
import os
import re
import subprocess
import sys
import tempfile

ZT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "zt")
failed = False
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)


def time_of_children():
    used = os.times()
    return used.children_user + used.children_system


def zt(*args, env=None):
    """Exit code, output and the processor time of one zt; its wall time depends on what else the machine does."""
    begun = time_of_children()
    done = subprocess.run([ZT, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stdout + done.stderr, time_of_children() - begun


def expect(name, args, code, *parts, env=None):
    global failed
    got, text, _ = zt(*args, env=env)
    missing = [part for part in parts if part not in text]
    good = got == code and not missing
    failed |= not good
    print("PASS" if good else "FAIL", name, "" if good else f"exit {got}, missing {missing}:\n{text[:1500]}")


def write(name, text):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text if isinstance(text, str) else json.dumps(text))
    return name


write("ds.json", '{\n"train_micro_batch_size_per_gpu": 2,\n"zero_optimization": {"stage": 2}}\n')
write("bad.json", '{\n"zero_optimization": {\n"stage": 7,\n"overlap_com": true},\n"gradient_cliping": 1.0}\n')
write("triple.json", {"train_batch_size": 12, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2,
                      "zero_optimization": {"stage": 1}})
write("task.yaml", "training:\n  lr: ${RUN_LR}\n  batch_size: 4\ndeepspeed:\n  enabled: true\n  zero_stage: 3\n")
write("bad.yaml", "training:\n  lerning_rate: 1\n  batch_size: two\ndeepspeed:\n  zero_stag: 3\n")
write("acc.yaml", "compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\nfsdp_config:\n"
                  "  fsdp_sharding_strategy: SHARD_GRAD_OP\nmixed_precision: bf16\nnum_processes: 2\n")
write("args.json", {"learning_rate": 1e-3, "per_device_train_batch_size": 2})

expect("DeepSpeed JSON is valid", ["config", "check", "ds.json"], 0, "valid DeepSpeed configuration", "zero.stage = 2", "ds.json:3")
expect("every problem of JSON at once", ["config", "check", "bad.json"], 2, "bad.json:3", "bad.json:4", "bad.json:5",
       "overlap_comm", "gradient_clipping", "<= 3")
expect("the batch triple fits 3 ranks", ["config", "check", "triple.json", "--world_size", "3"], 0, "valid")
expect("the batch triple does not fit 4 ranks", ["config", "check", "triple.json", "--world_size=4"], 2, "train_batch_size: got 12")
expect("a task file with a variable", ["config", "check", "task.yaml"], 0, "valid task file", "0.005", "training.lr, task.yaml:2",
       env={"RUN_LR": "0.005"})
expect("the variable is missing", ["config", "check", "task.yaml"], 2, "RUN_LR is not set", "task.yaml:2")
expect("every problem of YAML at once", ["config", "check", "bad.yaml"], 2, "training.learning_rate", "bad.yaml:2", "bad.yaml:3",
       "expected a whole number", "deepspeed.zero_stage", "bad.yaml:5")
expect("accelerate's file with FSDP", ["config", "check", "acc.yaml"], 0, "valid accelerate configuration", "zero.stage = 2",
       "SHARD_GRAD_OP means ZeRO stage 2")
expect("a file of flags", ["config", "check", "args.json"], 0, "optimizer.learning_rate = 0.001")
expect("no file", ["config", "check", "none.yaml"], 2, "no such file")
expect("explain", ["config", "explain", "zero_optimization.stage", "ds.json"], 0, "memory", "speed", "value    2", "ds.json:3")
expect("explain names the nearest key", ["config", "explain", "zero_stge"], 2, "zero_stage")
expect("migrate", ["config", "migrate", "bad.json"], 2, "bad.json:3: maps", "REFUSED", "gradient_clipping")
expect("migrate of accelerate's file", ["config", "migrate", "acc.yaml"], 0, "acc.yaml:4: maps", "--fsdp_sharding_strategy")
expect("init takes defaults without a terminal", ["config", "init", "--output", "new.yaml"], 0, "zero_stage: 2", "written: new.yaml")
expect("what init wrote is valid", ["config", "check", "new.yaml"], 0, "valid accelerate configuration")
expect("init does not overwrite", ["config", "init", "--output", "new.yaml"], 2, "the file exists")
expect("train refuses a wrong task file before anything else", ["train", "--config", "bad.yaml"], 2, "training.learning_rate", "bad.yaml:5")
expect("train takes accelerate's names", ["train", "--config_file", "acc.yaml", "--fsdp_sharding_strategy", "FULL"], 2,
       "expected FULL_SHARD", "--model_name_or_path is missing")

listed = (line.partition(" <")[0].partition(":")[0] for line in zt("help", "train")[1].splitlines() if line.startswith("  --"))
names = [name for line in listed for name in re.findall(r"--(\w{9,})", line)]
wrong = {name[:5] + ("x" if name[5] != "x" else "z") + name[6:]: name for name in sorted(set(names))}
write("typos.yaml", "training:\n" + "".join(f"  {word}: 1\n" for word in wrong))
expect(f"{len(wrong)} typos in one file, every neighbour named", ["config", "check", "typos.yaml"], 2,
       *(f"training.{word}: unknown key" for word in wrong), *(f"training.{name}" for name in wrong.values()))
if len(wrong) < 100:
    sys.exit(f"FAIL only {len(wrong)} names were found in zt help train")

fastest = min(zt("config", "check", "typos.yaml")[2] for _ in range(3))
print("PASS" if fastest < 2 else "FAIL", f"a wrong file is refused in {fastest:.2f} s of processor time")
sys.exit(1 if failed or fastest >= 2 else 0)

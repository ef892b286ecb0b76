#!/usr/bin/env python3
"""Presets as users of the older scripts type them: dry run, memory check, clear errors, a small run of the same form."""

import json
import os
import shutil
import struct
import subprocess

import _peer
import _ports
from _checks import Checks

PRESETS = {"1b_mamba": ("737,529,856", 100000), "3b_mamba": ("2,761,866,240", 150000),
           "7b_mamba": ("6,922,702,592", 200000)}
SMALL = """model_type: "mamba"
num_gpus: 2
model:
  vocab_size: {vocab}
  max_seq_length: 64
  d_model: 24
  n_layers: 2
  d_state: 4
  d_conv: 3
  expand: 1.5
  dropout: 0.1
training:
  batch_size: 2
  gradient_accumulation_steps: 2
  max_length: 64
  learning_rate: 1.0e-2
  max_steps: 8
  logging_steps: 1
"""


def files_below(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def dry_runs(checks, root):
    for preset, (count, steps) in PRESETS.items():
        before = files_below(root)
        done = subprocess.run([_peer.ZT, "train", "--preset", preset, "--num_gpus", "4", "--dry_run", "--device", "H200"],
                              capture_output=True, text=True, cwd=root, check=False, timeout=120)
        text = done.stdout
        wanted = (f"{count} parameters", "proven", "GiB per GPU of 140.00 GiB: fits", "time on H200", "loss", "exp_avg",
                  f"days for --max_steps {steps:,}")
        missing = [part for part in wanted if part not in text]
        checks.check(done.returncode == 0 and not missing, f"{preset} --dry_run tells all {missing}")
        if missing:
            print(text, done.stderr)
        checks.check(files_below(root) == before, f"{preset} --dry_run writes nothing")
    small = _peer.run_zt("train", "--preset", "7b_mamba", "--num_gpus", 4, "--dry_run", "--device", "RTX4090")
    checks.check("DOES NOT FIT" in small.stdout, "ZeRO-2 of the 7B does not fit 24 GB, and the dry run says so")


def memory(checks):
    text = _peer.run_zt("train", "--check_memory").stdout
    checks.check("GPU" in text and all(preset in text for preset in PRESETS), "--check_memory compares the presets")
    text = _peer.run_zt("train", "--check_memory", "--num_gpus", 8, "--gpu_memory", "24GB").stdout
    checks.check("on 8 GPUs" in text and "fits: 22.4 GiB" in text and "H200" not in text,
                 "for as many GPUs as are asked for, with that memory")


def errors(checks, root):
    train = ["train", "--num_gpus", 4, "--dry_run"]
    cases = (
        ("an unknown preset", [*train, "--preset", "9b_mamba"], 2, ("9b_mamba", "7b_mamba")),
        ("a sequence beyond the preset's", [*train, "--preset", "1b_mamba", "--block_size", 4096], 2, ("2048", "block_size")),
        ("no ranks", ["train", "--num_gpus", -1, "--dry_run", "--preset", "1b_mamba"], 2, ("--num_gpus: got '-1'",)),
        ("an impossible number of GPUs", ["train", "--num_gpus", 100000, "--dry_run", "--preset", "1b_mamba"], 2, ("--num_gpus",)),
        ("an unknown device", [*train, "--preset", "1b_mamba", "--device", "GTX999"], 2, ("GTX999", "H200")),
        ("sizes that are no numbers", [*train, "--model_name_or_path", "mamba:d_model=x", "--from_scratch"], 2, ("d_model",)),
    )
    run = ["train", "--train_file_dir", _peer.EXAMPLE / "valid", "--tokenizer_name_or_path", _peer.EXAMPLE, "--do_train",
           "--output_dir", root / "refused"]
    cases += (
        ("a run with more GPUs than there are", [*run, "--preset", "1b_mamba", "--num_gpus", 64], 2, ("num_gpus", "64")),
        ("a run with a sequence beyond the preset's", [*run, "--preset", "7b_mamba", "--block_size", 8192, "--use_cpu"], 2,
         ("8192", "4096", "block_size")),
        ("a run of an unknown preset", [*run, "--preset", "9b_mamba"], 2, ("9b_mamba", "7b_mamba")),
        ("a number of GPUs that is none", [*run, "--preset", "1b_mamba", "--num_gpus", "four"], 2, ("four",)),
    )
    for name, flags, code, words in cases:
        done = _peer.run_zt(*flags, expect=code)
        text = done.stdout + done.stderr
        checks.check(all(word in text for word in words), f"{name}: exit code {code}, named")


def own_sizes(checks, root):
    vocab = json.loads((_peer.EXAMPLE / "config.json").read_text())["vocab_size"]
    (root / "small.yaml").write_text(SMALL.format(vocab=vocab))
    data = ["--train_file_dir", _peer.EXAMPLE / "valid", "--tokenizer_name_or_path", _peer.EXAMPLE, "--use_cpu",
            "--do_train", "--validation_split_percentage", 0]
    done = _peer.run_zt("train", "--config", root / "small.yaml", *data, "--output_dir", root / "small")
    losses = [record["loss"] for record in _peer.metrics(root / "small")]
    checks.check(len(losses) == 8 and losses[-1] < losses[0], f"sizes of a YAML file train: {losses[0]:.2f} to {losses[-1]:.2f}")
    checks.check("dropout" in done.stdout + done.stderr, "dropout is noted, as it has no effect")
    config = json.loads((root / "small" / "config.json").read_text())
    checks.check(config["model_type"] == "mamba" and config["state_size"] == 4, "config.json of the saved folder")
    weights = root / "small" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + size])
    at = 8 + size + header["backbone.layers.1.mixer.A_log"]["data_offsets"][0]
    content[at:at + 4] = struct.pack("<f", float("nan"))
    weights.write_bytes(content)
    _peer.copy_tokenizer(root / "small")
    done = _peer.run_zt("train", "--model_name_or_path", root / "small", *data, "--max_steps", 1, "--block_size", 64,
                        "--output_dir", root / "nan", expect=3)
    text = done.stdout + done.stderr
    checks.check("layers.1.mixer.A_log" in text and "not finite" in text, "NaN in A is an error that names the tensor")
    from safetensors.torch import load_file
    import torch
    torch.save(load_file(weights), weights.parent / "pytorch_model.bin")
    weights.unlink()
    done = _peer.run_zt("train", "--model_name_or_path", root / "small", *data, "--max_steps", 1, "--block_size", 64,
                        "--output_dir", root / "nan", expect=3)
    text = done.stdout + done.stderr
    checks.check("layers.1.mixer.A_log" in text and "not finite" in text, "also where it lies in pytorch_model.bin")


def names_of_sizes(checks, root):
    """A size needs no folder with --from_scratch; a folder that is called like one is that folder."""
    home = root / "names"
    (home / "mamba-130m").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(_peer.EXAMPLE / name, home / "mamba-130m")
    run = [_peer.ZT, "train", "--use_cpu", "--do_train", "--train_file_dir", str(_peer.EXAMPLE / "valid"), "--max_steps", "1",
           "--validation_split_percentage", "0", "--per_device_train_batch_size", "1", "--output_dir", "out", "--overwrite_output_dir"]
    done = subprocess.run([*run, "--block_size", "32", "--model_name_or_path", "mamba-130m", "--from_scratch"],
                          capture_output=True, text=True, cwd=home, check=False, timeout=120)
    saved = home / "out" / "config.json"
    checks.check(done.returncode == 0 and json.loads(saved.read_text())["model_type"] == "qwen3",
                 "a folder called mamba-130m is trained as its config.json says")
    done = subprocess.run([*run, "--block_size", "4096", "--model_name_or_path", "1b_mamba", "--from_scratch",
                           "--tokenizer_name_or_path", str(_peer.EXAMPLE)],
                          capture_output=True, text=True, cwd=home, check=False, timeout=120)
    checks.check(done.returncode == 2 and "at most 2048 (max_seq_length" in done.stderr,
                 f"a size is found by zt train without a folder {done.stderr}")
    done = subprocess.run([*run, "--model_name_or_path", "1b_mamba", "--tokenizer_name_or_path", str(_peer.EXAMPLE)],
                          capture_output=True, text=True, cwd=home, check=False, timeout=120)
    checks.check(done.returncode == 2 and "--from_scratch for new ones" in done.stderr, "without it weights are asked for")


def script(checks, root):
    """scripts/launch_deepspeed.sh starts the ranks, and CPU ranks only where they are asked for."""
    (root / "script.yaml").write_text(SMALL.format(vocab=json.loads((_peer.EXAMPLE / "config.json").read_text())["vocab_size"]))
    run = [_peer.EXAMPLE.parents[1] / "scripts" / "launch_deepspeed.sh", "--num_gpus", "2", "--port", str(_ports.free_port()), "--config",
           root / "script.yaml", "--train_file_dir", _peer.EXAMPLE / "valid", "--tokenizer_name_or_path", _peer.EXAMPLE,
           "--output_dir", root / "script", "--max_steps", "2", "--validation_split_percentage", "0"]
    environment = {**os.environ, "ZT": str(_peer.ZT)}
    done = subprocess.run([*run, "--use_cpu"], capture_output=True, text=True, env=environment, check=False, timeout=120)
    checks.check(done.returncode == 0 and len(_peer.metrics(root / "script")) == 2 and "2 on cpu" in done.stdout + done.stderr,
                 f"the launch script trains on two ranks {done.stderr[-300:] if done.returncode else ''}")
    if shutil.which("nvidia-smi") is None:
        shutil.rmtree(root / "script")
        done = subprocess.run(run, capture_output=True, text=True, env=environment, check=False, timeout=120)
        checks.check(done.returncode == 2 and "--num_gpus: got 2, expected at most the 0 GPUs" in done.stderr,
                     f"GPUs that are not there are not replaced by CPU ranks: {done.stderr[-300:]}")


def main():
    with Checks.in_folder("presets") as (checks, root):
        dry_runs(checks, root)
        memory(checks)
        errors(checks, root)
        own_sizes(checks, root)
        names_of_sizes(checks, root)
        script(checks, root)


if __name__ == "__main__":
    main()

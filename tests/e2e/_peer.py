"""Shared by the end-to-end tests: a tiny Qwen3 folder, running zt, PyTorch's view of it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import torch

SOURCE = Path(os.environ.get("ZT_SOURCE_DIR", Path(__file__).resolve().parents[2]))
ZT = os.environ.get("ZT_BINARY", str(SOURCE / "zt"))
EXAMPLE = SOURCE / "examples" / "tiny_qwen3"
BLOCK = 64


def make_model(folder, seed=0, **changes):
    """The example's Qwen3 with random fp32 weights, and its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM
    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(EXAMPLE, **changes)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    copy_tokenizer(folder)


def copy_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(EXAMPLE / name, folder / name)


def run_zt(*flags, expect=0, timeout=300):
    """Runs zt with one thread per rank. Returns the finished process with its output as text."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([ZT, *map(str, flags)], capture_output=True, text=True, timeout=timeout,
                          env=environment, check=False)
    if done.returncode != expect:
        print(done.stdout, done.stderr, sep="\n")
        raise SystemExit(f"FAIL  zt {flags[0]} ended with {done.returncode}, expected {expect}")
    return done


def metrics(folder):
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]


def blocks(model, folder, block=BLOCK):
    """The packed blocks of a text folder as the design states them: EOS after each text, one stream, cut into blocks, tail dropped."""
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    eos_token = json.loads((Path(model) / "tokenizer_config.json").read_text())["eos_token"]
    eos = tokenizer.token_to_id(eos_token if isinstance(eos_token, str) else eos_token["content"])
    stream = []
    for path in sorted(Path(folder).glob("**/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            stream += tokenizer.encode(json.loads(line)["text"]).ids + [eos]
    count = len(stream) // block
    return torch.tensor(stream[:count * block]).view(count, block)


def loss_sum(network, rows):
    """Sum of token losses over rows, and the number of targets."""
    logits = network(input_ids=rows).logits[:, :-1].float()
    targets = rows[:, 1:]
    total = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    return total, targets.numel()


def eval_loss(network, rows, batch=8):
    total, count = 0.0, 0
    with torch.no_grad():
        for part in rows.split(batch):
            value, targets = loss_sum(network, part)
            total, count = total + value.double().item(), count + targets
    return total / count

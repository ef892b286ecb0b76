#!/usr/bin/env python3
"""Sample order and packed blocks equal torch, accelerate and the Hugging Face Trainer.

usage: data_order.py [PATH_TO_data_peer_tool]; without it the one in $ZT_BUILD_DIR
Prints PASS or FAIL lines; exits 1 on any difference.
"""
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from accelerate.data_loader import BatchSamplerShard
from tokenizers import Tokenizer
from torch.utils.data import BatchSampler, Dataset
from transformers import Qwen3Config, Qwen3ForCausalLM, Trainer, TrainingArguments

TOOL = (sys.argv[1] if len(sys.argv) > 1
        else os.path.join(os.environ["ZT_BUILD_DIR"], "src", "data", "data_peer_tool"))
EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "tiny_qwen3"
failed = False


def tool(*args):
    done = subprocess.run([TOOL, *args], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("FAIL the tool: " + done.stderr)
    return json.loads(done.stdout)


def report(name, good):
    global failed
    failed |= not good
    print("PASS" if good else "FAIL", name)


def permutation(n, seed):
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


def check_randperm():
    sizes = [0, 1, 2, 3, 7, 100, 1000, 32767, 32768, 65535, 65536, 65537, 100003, 300000]
    good = all(tool("randperm", str(n), str(seed)) == permutation(n, seed)
               for n in sizes for seed in (0, 42, 2**32 - 1, 2**32 + 5, 2**63 + 1))
    report(f"randperm equals torch for {len(sizes)} sizes and 5 seeds", good)


def check_shards():
    """Two and more ranks: accelerate's BatchSamplerShard over the seeded permutation."""
    cases = 0
    good = True
    for n in (1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 64, 100):
        for world in (2, 3, 4):
            for batch in (1, 2, 3, 8):
                for drop_last in (False, True):
                    if drop_last and n // batch // world == 0:
                        continue
                    got = tool("order", json.dumps(dict(num_samples=n, world=world, batch=batch, accumulation=2,
                                                        seed=42, drop_last=drop_last, num_epochs=2)))
                    for rank in range(world):
                        want = []
                        for epoch in range(2):
                            batches = BatchSampler(permutation(n, 42 + epoch), batch, drop_last)
                            want += list(BatchSamplerShard(batches, world, rank))
                        mine = [micro for step in got["steps"] for micro in step[rank]]
                        good &= mine == want
                        cases += 1
    report(f"order equals accelerate's shards in {cases} cases", good)


def check_group_by_length():
    try:
        from transformers.trainer_pt_utils import get_length_grouped_indices
    except ImportError:
        print("SKIP group_by_length: this transformers has no get_length_grouped_indices")
        return
    good = True
    for n, batch, accumulation in ((10, 2, 1), (100, 4, 2), (1000, 2, 4), (777, 3, 1)):
        lengths = [(i * 7919) % 97 + 1 for i in range(n)]
        got = tool("order", json.dumps(dict(num_samples=n, world=1, batch=batch, accumulation=accumulation,
                                            seed=42, lengths=lengths)))
        mine = [i for step in got["steps"] for micro in step[0] for i in micro]
        want = get_length_grouped_indices(lengths, batch * accumulation,
                                          generator=torch.Generator().manual_seed(42))
        good &= mine == want
    report("group_by_length equals transformers", good)


class Numbered(Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return {"input_ids": torch.tensor([i, i]), "labels": torch.tensor([i, i])}


class Recording(Trainer):
    """Notes the samples of every window and the epoch value after it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.windows, self.current, self.epochs = [], [], []

    def training_step(self, model, inputs, *args, **kwargs):
        self.current.append(inputs["input_ids"][:, 0].tolist())
        return super().training_step(model, inputs, *args, **kwargs)

    def log(self, logs, *args, **kwargs):
        if "loss" in logs:
            self.windows.append(self.current)
            self.current = []
            self.epochs.append(self.state.epoch)
        super().log(logs, *args, **kwargs)


def check_trainer():
    for n, batch, accumulation, epochs in ((13, 2, 3, 2.0), (16, 4, 2, 1.5), (9, 1, 4, 1.0)):
        config = Qwen3Config(vocab_size=32, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                             num_attention_heads=1, num_key_value_heads=1, head_dim=8)
        with tempfile.TemporaryDirectory() as folder:
            args = TrainingArguments(output_dir=folder, per_device_train_batch_size=batch, logging_steps=1,
                                     gradient_accumulation_steps=accumulation, num_train_epochs=epochs,
                                     use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True)
            trainer = Recording(model=Qwen3ForCausalLM(config), args=args, train_dataset=Numbered(n))
            trainer.train()
        got = tool("order", json.dumps(dict(num_samples=n, world=1, batch=batch, accumulation=accumulation,
                                            seed=42, num_epochs=epochs)))
        mine = [step[0] for step in got["steps"]]
        report(f"windows equal the Trainer's: {n} samples, batch {batch}, accumulation {accumulation}, "
               f"{epochs} epochs", mine == trainer.windows)
        report("epoch values equal the Trainer's",
               len(got["epochs"]) == len(trainer.epochs)
               and all(math.isclose(a, b) for a, b in zip(got["epochs"], trainer.epochs)))


def group(rows, size):
    """The reference script's packing of one batch of tokenised rows."""
    joined = [t for row in rows for t in row]
    if len(joined) >= size:
        joined = joined[:len(joined) // size * size]
    return [joined[i:i + size] for i in range(0, len(joined), size)]


def check_blocks():
    tokenizer = Tokenizer.from_file(str(EXAMPLE / "tokenizer.json"))
    eos = tokenizer.token_to_id("<|endoftext|>")
    texts = [json.loads(line)["text"] for path in sorted((EXAMPLE / "train").glob("*.jsonl"))
             for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [tokenizer.encode(t).ids + [eos] for t in texts]
    border = round(3 * len(rows) / 100)
    size = 128
    with tempfile.TemporaryDirectory() as cache:
        base = dict(train=str(EXAMPLE / "train"), tokenizer=str(EXAMPLE), cache=cache, block_size=size, percent=3)
        stream = tool("blocks", json.dumps(base))
        report("stream packing", [b[0] for b in stream["train"]] == group(rows[border:], size)
               and [b[0] for b in stream["eval"]] == group(rows[:border], size))
        report("targets are the next token", all(b[1] == b[0][1:] + [-100] for b in stream["train"]))
        hf = tool("blocks", json.dumps(base | {"hf": True}))
        want = [b for i in range(border, len(rows), 1000) for b in group(rows[i:min(i + 1000, len(rows))], size)]
        report("hf packing per 1000 rows", [b[0] for b in hf["train"]] == want)
        sharded = tool("blocks", json.dumps(base | {"hf": True, "workers": 3, "eval": False}))
        mine = rows[border:]
        ends = [0, *(sum(len(mine) // 3 + (s < len(mine) % 3) for s in range(k + 1)) for k in range(3))]
        want = [b for a, e in zip(ends, ends[1:]) for i in range(a, e, 1000) for b in group(mine[i:min(i + 1000, e)], size)]
        report("hf packing with three workers", [b[0] for b in sharded["train"]] == want)
        plain = tool("blocks", json.dumps(base | {"packing": False}))
        want = [(r[:-1] + [eos] * size)[:size] for r in rows[border:]]
        report("no packing: cut or padded, padding is a target",
               [b[0] for b in plain["train"]] == want
               and all(b[1] == b[0][1:] + [-100] for b in plain["train"]))


check_randperm()
check_shards()
check_group_by_length()
check_blocks()
check_trainer()
sys.exit(1 if failed else 0)

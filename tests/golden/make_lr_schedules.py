#!/usr/bin/env python3
"""Writes lr_schedules.json: learning rates by transformers' schedulers and by DeepSpeed's,
and the decayed parameters as transformers' Trainer chooses them. Needs torch, transformers and deepspeed."""
import json
import os
import pathlib

import torch

os.environ["DS_ACCELERATOR"] = "cpu"
import deepspeed as deepspeed_package  # noqa: E402
import transformers
from deepspeed.runtime import lr_schedules  # noqa: E402
from transformers.trainer_pt_utils import get_parameter_names

BASE, TOTAL, STEPS = 3e-4, 40, 44
KINDS = {"constant": "constant", "constant_with_warmup": "constant_with_warmup", "linear": "linear",
         "cosine": "cosine"}


def huggingface(kind, warmup, cycles=0.5):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=BASE)
    arguments = transformers.TrainingArguments(output_dir="/tmp/none", use_cpu=True,
                                               warmup_steps=warmup)
    count = arguments.get_warmup_steps(TOTAL)
    extra = {"num_cycles": cycles} if kind == "cosine" else None
    scheduler = transformers.get_scheduler(kind, optimizer, count, TOTAL, extra)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return dict(kind=kind, warmup_steps=warmup, num_cycles=cycles, warmup_count=count, rates=rates)


def deepspeed(kind, warmup, total, log, low=1e-5, high=2e-4, min_ratio=0.1, cos_min=0.01):
    """The rate of every step that DeepSpeed's own scheduler sets."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    common = dict(warmup_num_steps=warmup, warmup_type="log" if log else "linear")
    if kind == "WarmupCosineLR":
        scheduler = lr_schedules.WarmupCosineLR(optimizer, total, warmup_min_ratio=min_ratio, cos_min_ratio=cos_min, **common)
    elif kind == "WarmupDecayLR":
        scheduler = lr_schedules.WarmupDecayLR(optimizer, total, warmup_min_lr=low, warmup_max_lr=high, **common)
    else:
        scheduler = lr_schedules.WarmupLR(optimizer, warmup_min_lr=low, warmup_max_lr=high, **common)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return dict(kind=kind, warmup_num_steps=warmup, total_num_steps=total, warmup_log=log,
                warmup_min_lr=low, warmup_max_lr=high, warmup_min_ratio=min_ratio,
                cos_min_ratio=cos_min, rates=rates)


def decayed():
    forbidden = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
    sizes = dict(hidden_size=16, num_hidden_layers=1, vocab_size=32)
    models = [
        transformers.Qwen3ForCausalLM(transformers.Qwen3Config(
            **sizes, intermediate_size=16, num_attention_heads=2, num_key_value_heads=1, head_dim=8)),
        transformers.MambaForCausalLM(transformers.MambaConfig(**sizes)),
        transformers.GPT2LMHeadModel(transformers.GPT2Config(
            n_embd=16, n_layer=1, n_head=2, vocab_size=32)),
    ]
    out = []
    for model in models:
        chosen = set(get_parameter_names(model, [torch.nn.LayerNorm], forbidden))
        owners = {f"{n}.{p}": isinstance(m, torch.nn.LayerNorm)
                  for n, m in model.named_modules() for p, _ in m.named_parameters(recurse=False)}
        for name, _ in model.named_parameters():
            out.append(dict(name=name, layer_norm=owners[name], decayed=name in chosen))
    return out


out = dict(
    made_by="tests/golden/make_lr_schedules.py", transformers=transformers.__version__,
    deepspeed_version=deepspeed_package.__version__,
    base=BASE, total=TOTAL,
    huggingface=[huggingface(kind, warmup) for kind in KINDS for warmup in (0, 0.1, 0.26, 1, 7)]
    + [huggingface("cosine", 5, 1.25)],
    deepspeed=[deepspeed(kind, warmup, total, log)
               for kind in ("WarmupLR", "WarmupDecayLR", "WarmupCosineLR")
               for warmup in (1, 8) for total in (40, 20) for log in (True, False)],
    decayed=decayed())
pathlib.Path(__file__).with_name("lr_schedules.json").write_text(json.dumps(out) + "\n")

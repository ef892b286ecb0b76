#!/usr/bin/env python3
"""Writes adamw.json: torch.optim.AdamW / Adam on fixed fp32 inputs. Run with torch installed."""
import json
import pathlib

import torch

CASES = [
    dict(name="adamw", l2=False, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
    dict(name="adamw_no_decay", l2=False, lr=3e-2, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.0),
    dict(name="adam_l2", l2=True, lr=1e-2, betas=(0.8, 0.99), eps=1e-8, weight_decay=0.05),
]
STEPS, NUMEL = 5, 37


def run(case):
    generator = torch.Generator().manual_seed(1)
    param = torch.randn(NUMEL, generator=generator)
    grads = [torch.randn(NUMEL, generator=generator) * 10.0 ** (i - 3) for i in range(STEPS)]
    start = param.tolist()
    param.requires_grad_(True)
    kind = torch.optim.Adam if case["l2"] else torch.optim.AdamW
    optimizer = kind([param], lr=case["lr"], betas=case["betas"], eps=case["eps"],
                     weight_decay=case["weight_decay"], foreach=False, fused=False)
    for grad in grads:
        param.grad = grad.clone()
        optimizer.step()
    state = optimizer.state[param]
    return dict(case, start=start, grads=[g.tolist() for g in grads], param=param.tolist(),
                exp_avg=state["exp_avg"].tolist(), exp_avg_sq=state["exp_avg_sq"].tolist())


out = dict(made_by="tests/golden/make_adamw.py", torch=torch.__version__,
           cases=[run(case) for case in CASES])
path = pathlib.Path(__file__).with_name("adamw.json")
path.write_text(json.dumps(out) + "\n")

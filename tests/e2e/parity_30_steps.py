#!/usr/bin/env python3
"""30 steps of zt against a plain PyTorch loop and the Hugging Face Trainer, from the same weights and batches.

Tolerances. fp32: loss 1e-4 relative, gradient norm 1e-3 relative, learning rate 1e-12. bf16: both sides keep
fp32 master weights and compute in bf16 (PyTorch through autocast, which keeps norms and the loss in fp32), so
they round at different places; a bf16 number has 8 bits, 2^-8 = 0.4 % per rounding, which averages out over the
504 tokens of a step in the loss (1e-3 relative; 7e-5 measured) and less so in the norm (2e-2; 3e-3 measured).
"""


import torch

import _peer
from _checks import Checks

STEPS, BATCH, ACCUMULATION, RANKS = 30, 2, 2, 2
TEXT = _peer.EXAMPLE / "valid"  # small: the steps pass over it more than once
RATE, WARMUP, DECAY, CLIP, SEED = 1e-3, 5, 0.1, 0.5, 42


def step_rows(count, step):
    """Indices of the blocks of a step over all ranks: consecutive in the epoch's order."""
    per_batch = BATCH * RANKS
    batches = -(-count // per_batch)
    updates = -(-batches // ACCUMULATION)
    epoch, update = divmod(step, updates)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED + epoch)).tolist()
    order += order[:batches * per_batch - count]  # the short last round is filled from the start
    return order[update * ACCUMULATION * per_batch:(update + 1) * ACCUMULATION * per_batch]


def groups(network):
    """Two groups as the Trainer makes them: no decay on norms and biases; nor on Mamba's A_log and D."""
    def plain(name):
        return "norm" in name or name.endswith(("bias", ".A_log", ".D"))

    named = list(network.named_parameters())
    return [{"params": [p for n, p in named if not plain(n)], "weight_decay": DECAY},
            {"params": [p for n, p in named if plain(n)], "weight_decay": 0.0}]


def pytorch_loop(folder, rows, half=None, infected=()):
    """Eager steps in fp32, or with autocast to `half`; fp16 with GradScaler, which leaves out the `infected` steps."""
    from transformers import AutoModelForCausalLM, get_scheduler
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(groups(network), lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    scheduler = get_scheduler("cosine", optimizer, WARMUP, STEPS)
    scaler = torch.amp.GradScaler("cpu", enabled=half == torch.float16)
    records = []
    for step in range(STEPS):
        with torch.autocast("cpu", dtype=half or torch.bfloat16, enabled=half is not None):
            total, targets = _peer.loss_sum(network, rows[step_rows(len(rows), step)])
        loss = total / targets
        scaler.scale(loss).backward()
        if step in infected:
            next(network.parameters()).grad.fill_(float("inf"))
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        skipped = not torch.isfinite(norm).item()
        records.append({"loss": loss.item(), "grad_norm": norm.item(), "learning_rate": scheduler.get_last_lr()[0],
                        "skipped": skipped})
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        if not skipped:
            scheduler.step()
    return records


def trainer(folder, rows, scratch):
    """The Trainer in one process with the batch of all ranks: the same samples in every step."""
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    data = [{"input_ids": row, "labels": row} for row in rows]
    arguments = TrainingArguments(
        output_dir=scratch, use_cpu=True, max_steps=STEPS, per_device_train_batch_size=BATCH * RANKS,
        gradient_accumulation_steps=ACCUMULATION, learning_rate=RATE, lr_scheduler_type="cosine",
        warmup_steps=WARMUP, weight_decay=DECAY, max_grad_norm=CLIP, logging_steps=1, save_strategy="no",
        report_to="none", seed=SEED, disable_tqdm=True, optim="adamw_torch", dataloader_pin_memory=False)
    run = Trainer(model=network, args=arguments, train_dataset=data)
    run.train()
    return [entry for entry in run.state.log_history if "grad_norm" in entry]


def zt(folder, root, output, *extra):
    _peer.run_zt(
        "train", "--use_cpu", "--nproc", RANKS, "--model_name_or_path", folder, "--train_file_dir", TEXT,
        "--output_dir", output, "--do_train", "--validation_split_percentage", 0, "--block_size", _peer.BLOCK,
        "--per_device_train_batch_size", BATCH, "--gradient_accumulation_steps", ACCUMULATION,
        "--max_steps", STEPS, "--learning_rate", RATE, "--lr_scheduler_type", "cosine", "--warmup_steps", WARMUP,
        "--weight_decay", DECAY, "--max_grad_norm", CLIP, "--seed", SEED, *extra)
    return _peer.metrics(output)


def compare(checks, name, mine, theirs, loss_tolerance, norm_tolerance):
    def worst(key):
        return max(abs(a[key] - b[key]) / max(abs(b[key]), 1e-30) for a, b in zip(mine, theirs))

    checks.check(len(mine) == len(theirs) == STEPS, f"{name}: {len(mine)} and {len(theirs)} steps")
    loss, norm = worst("loss"), worst("grad_norm")
    rate = max(abs(a["learning_rate"] - b["learning_rate"]) for a, b in zip(mine, theirs))
    checks.check(loss < loss_tolerance, f"{name}: largest relative difference of the loss {loss:.2e} < {loss_tolerance}")
    checks.check(norm < norm_tolerance, f"{name}: of the gradient norm {norm:.2e} < {norm_tolerance}")
    checks.check(rate < 1e-12, f"{name}: largest difference of the learning rate {rate:.1e}")


def main():
    torch.set_num_threads(2)
    with Checks.in_folder("parity") as (checks, root):
        folder = root / "model"
        _peer.make_model(folder)
        rows = _peer.blocks(folder, TEXT)
        reference = pytorch_loop(folder, rows)
        stage2 = zt(folder, root, root / "stage2", "--deepspeed", '{"zero_optimization": {"stage": 2}}')
        compare(checks, "ZeRO-2 and PyTorch, fp32", stage2, reference, 1e-4, 1e-3)
        compare(checks, "ZeRO-2 and Trainer, fp32", stage2, trainer(folder, rows, root / "hf"), 1e-4, 1e-3)
        bf16 = zt(folder, root, root / "bf16", "--bf16", "--deepspeed", '{"zero_optimization": {"stage": 3}}')
        compare(checks, "ZeRO-3 and PyTorch, bf16", bf16, pytorch_loop(folder, rows, torch.bfloat16), 1e-3, 2e-2)


if __name__ == "__main__":
    main()

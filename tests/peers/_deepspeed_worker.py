#!/usr/bin/env python3
"""One rank of real DeepSpeed (CPU, Gloo): trains a tiny Qwen3, saves and loads checkpoints as a plan says.

usage: torchrun --nproc_per_node 2 _deepspeed_worker.py PLAN.json
The plan is a list of runs: {stage, precision, model, rows, optimizer, scheduler, steps, batch, load, save_at, save, out}.
`before` are commands that rank 0 runs first. `rows` is a file with one [steps, batch of all ranks, block] tensor; `steps` are the indices this run trains.
Rank 0 writes {"losses": [...]} to `out`.
"""

import json
import os
import subprocess
import sys

os.environ["DS_ACCELERATOR"] = "cpu"

import torch  # noqa: E402
import deepspeed  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

# Its shared-memory collectives would be compiled first, for a minute; Gloo does without them.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
# It asks for fp16 instructions of the newest processors; PyTorch computes fp16 without them.
deepspeed.accelerator.get_accelerator().is_fp16_supported = lambda: True


def config(run):
    settings = {
        "train_micro_batch_size_per_gpu": run["batch"], "gradient_accumulation_steps": 1,
        "gradient_clipping": 1.0, "zero_force_ds_cpu_optimizer": False, "steps_per_print": 10**9,
        "zero_optimization": {"stage": run["stage"], **run.get("zero", {})},
        "optimizer": {"type": "AdamW", "params": {**run["optimizer"], "torch_adam": True}},
        "scheduler": run["scheduler"], **run["precision"],
    }
    if run.get("load_universal"):
        settings["checkpoint"] = {"load_universal": True}
    return settings


def train(run, rank, world):
    network = AutoModelForCausalLM.from_pretrained(run["model"], dtype=torch.float32)
    engine, _, _, _ = deepspeed.initialize(model=network, config=config(run))
    if run.get("load"):
        path, _ = engine.load_checkpoint(run["load"], tag=run.get("tag"))
        assert path is not None, "DeepSpeed found no checkpoint"
        assert engine.global_steps == run["steps"][0], f"DeepSpeed is at step {engine.global_steps}"
    rows = torch.load(run["rows"], weights_only=True)
    losses = []
    for step in run["steps"]:
        part = rows[step][rank * run["batch"]:(rank + 1) * run["batch"]]
        loss = engine(input_ids=part, labels=part).loss
        total = loss.detach().float().clone()
        torch.distributed.all_reduce(total)
        losses.append(total.item() / world)
        engine.backward(loss)
        engine.step()
        if step + 1 == run.get("save_at"):
            engine.save_checkpoint(run["save"], tag=run.get("save_tag"))
    engine.destroy()
    return losses


def main():
    plan = json.loads(open(sys.argv[1], encoding="utf-8").read())
    torch.set_num_threads(1)
    deepspeed.init_distributed(dist_backend="gloo", verbose=False)
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    for run in plan:
        for command in run.get("before", []) if rank == 0 else []:
            subprocess.run(command, check=True)
        torch.distributed.barrier()
        losses = train(run, rank, world)
        if rank == 0:
            with open(run["out"], "w", encoding="utf-8") as file:
                json.dump({"losses": losses}, file)
    torch.distributed.destroy_process_group()  # else its threads may still run when the program ends, which aborts it


if __name__ == "__main__":
    main()

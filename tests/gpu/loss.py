"""bf16 training for 200 steps beside PyTorch: same weights, same batches, shipped text.

usage: loss.py ZT WORK_DIR RANKS [cpu]       LOSS_STEPS etc. are constants below; `cpu` tries the script with a tiny model
ZeRO-3 on RANKS GPUs against a plain PyTorch loop (fp32 weights, autocast to bf16, fused AdamW) with the batch of all
ranks on one GPU: seed A has the same initial weights and the same order of data, seed B other ones of both. Prints
the losses and passes when zt is nearer to A than B is, over all steps and over the last quarter. The two PyTorch
runs take place at the same time where there are two GPUs.
"""

import json
import os
import pathlib
import subprocess
import sys

E2E = pathlib.Path(__file__).resolve().parents[1] / "e2e"
sys.path.insert(0, str(E2E))

RATE, WARMUP, DECAY, CLIP = 1e-3, 20, 0.1, 1.0
SEEDS = {"A": 42, "B": 1042}
LARGE = dict(steps=200, batch=16, block=256, model=dict(
    hidden_size=512, intermediate_size=1536, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=4, head_dim=64))
TINY = dict(steps=12, batch=4, block=64, model=dict(num_hidden_layers=6))


def order(count, batch, steps, seed):
    """Rows of each step: the epoch's permutation, the short last round filled from its start."""
    import torch
    rounds = -(-count // batch)
    result = []
    for step in range(steps):
        epoch, turn = divmod(step, rounds)
        rows = torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        rows += rows[:rounds * batch - count]
        result.append(rows[turn * batch:(turn + 1) * batch])
    return result


def pytorch(folder, what, seed, device):
    import torch
    import _peer
    from transformers import AutoModelForCausalLM, get_scheduler
    rows = _peer.blocks(folder, _peer.EXAMPLE / "train", what["block"]).to(device)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)
    decayed = [p for n, p in network.named_parameters() if "norm" not in n]
    plain = [p for n, p in network.named_parameters() if "norm" in n]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}],
                                  lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    scheduler = get_scheduler("cosine", optimizer, WARMUP, what["steps"])
    losses = []
    for picked in order(len(rows), what["batch"], what["steps"], seed):
        with torch.autocast(device, dtype=torch.bfloat16):
            total, targets = _peer.loss_sum(network, rows[picked])
        loss = total / targets
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return [value.item() for value in losses]


def zt(folder, work, what, ranks, device):
    import _peer
    _peer.run_zt(
        "train", "--nproc", ranks, "--model_name_or_path", folder, "--train_file_dir", _peer.EXAMPLE / "train",
        "--output_dir", work / "zt", "--do_train", "--validation_split_percentage", 0, "--block_size", what["block"],
        "--per_device_train_batch_size", what["batch"] // ranks, "--gradient_accumulation_steps", 1, "--bf16",
        "--max_steps", what["steps"], "--learning_rate", RATE, "--lr_scheduler_type", "cosine", "--warmup_steps", WARMUP,
        "--weight_decay", DECAY, "--max_grad_norm", CLIP, "--seed", SEEDS["A"], "--save_strategy", "no",
        "--cache_dir", work / "cache", "--deepspeed", '{"zero_optimization": {"stage": 3}}',
        *(["--use_cpu"] if device == "cpu" else []))
    return [row["loss"] for row in _peer.metrics(work / "zt")]


def mean_distance(one, other):
    return sum(abs(x - y) for x, y in zip(one, other)) / len(one)


def peer_process(name, work, what, device, gpu):
    """This script again, with one GPU of its own."""
    return subprocess.Popen([sys.executable, __file__, "--peer", name, str(work), device, json.dumps(what)],
                            env={**os.environ, "CUDA_VISIBLE_DEVICES": gpu}, stdout=subprocess.PIPE, text=True)


def main():
    os.environ["ZT_BINARY"] = sys.argv[1]
    import _peer
    work, ranks = pathlib.Path(sys.argv[2]), int(sys.argv[3])
    device = "cpu" if "cpu" in sys.argv[4:] else "cuda"
    what = TINY if device == "cpu" else LARGE
    for name, seed in SEEDS.items():
        layers = what["model"].get("num_hidden_layers", 4)
        _peer.make_model(work / name, seed, layer_types=["full_attention"] * layers, **what["model"])
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(str(i) for i in range(ranks))).split(",")
    peers = {name: peer_process(name, work, what, device, gpus[index % len(gpus)]) for index, name in enumerate(SEEDS)}
    answers = {name: process.communicate()[0] for name, process in peers.items()}
    if any(process.returncode for process in peers.values()):
        raise SystemExit(f"FAIL loss: a PyTorch run ended with {[p.returncode for p in peers.values()]}")
    losses = {name: json.loads(text.splitlines()[-1]) for name, text in answers.items()}
    ours = zt(work / "A", work, what, ranks, device)
    a, b = losses["A"], losses["B"]
    if not len(ours) == len(a) == len(b) == what["steps"]:
        raise SystemExit(f"FAIL loss: {len(ours)}, {len(a)} and {len(b)} steps, expected {what['steps']}")
    print("step   zt        PyTorch A PyTorch B zt - A    B - A")
    every = max(1, what["steps"] // 10)
    for step in sorted({0, *range(every - 1, what["steps"], every)}):
        print(f"{step + 1:4d} {ours[step]:9.5f} {a[step]:9.5f} {b[step]:9.5f} {ours[step] - a[step]:+9.5f} {b[step] - a[step]:+9.5f}")
    passed = True
    for name, first in (("all steps", 0), ("last quarter", what["steps"] * 3 // 4)):
        mine, spread = mean_distance(ours[first:], a[first:]), mean_distance(b[first:], a[first:])
        largest = max(abs(x - y) for x, y in zip(ours[first:], a[first:]))
        passed = passed and mine <= spread
        print(f"{name}: mean |zt - A| {mine:.5f} (largest {largest:.5f}), mean |B - A| {spread:.5f}")
    print(f"{'PASS' if passed else 'FAIL'} loss: {what['steps']} steps, {ranks} ranks, loss {ours[0]:.4f} to {ours[-1]:.4f}")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        name, work, device, what = sys.argv[2:6]
        print(json.dumps(pytorch(pathlib.Path(work) / name, json.loads(what), SEEDS[name], device)))
    else:
        main()

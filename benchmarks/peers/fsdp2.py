"""FSDP2 + transformers on random tokens: the peer of `zt bench` on GPUs. One JSON line per run.

usage: python -m torch.distributed.run --nproc_per_node N benchmarks/peers/fsdp2.py --model Qwen3-0.6B
         [--block_size 512] [--micro_batch 1] [--accumulation 16] [--checkpointing] [--compile] [--steps 12]
fp32 master weights and moments, bf16 parameters, gradients reduced in bf16, fused AdamW, clipping at 1: what the
rows of `zt bench` have. Parameters are random; weights are never loaded. Says so and exits with 77 when a
package or a GPU is missing.
"""

import argparse
import json
import os
import statistics
import sys
import time

SHAPES = {  # hidden, layers, heads, kv heads, ffn, tied
    "Qwen3-0.6B": (1024, 28, 16, 8, 3072, True),
    "Qwen3-4B": (2560, 36, 32, 8, 9728, True),
    "Qwen3-8B": (4096, 36, 32, 8, 12288, False),
}
VOCAB = 151936
PEAK_FLOPS = 989.4e12


def skip(reason):
    print(f"SKIP fsdp2: {reason}", flush=True)
    sys.exit(77)


try:
    import torch
    import torch.distributed as dist
    import transformers
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
except ImportError as error:
    skip(str(error))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=SHAPES, default="Qwen3-0.6B")
    parser.add_argument("--block_size", type=int, default=512)
    parser.add_argument("--micro_batch", type=int, default=1)
    parser.add_argument("--accumulation", type=int, default=16)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warmup", type=int, default=4)
    return parser.parse_args()


def make_model(args, device):
    hidden, layers, heads, kv_heads, ffn, tied = SHAPES[args.model]
    config = transformers.Qwen3Config(
        vocab_size=VOCAB, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, head_dim=128, intermediate_size=ffn, tie_word_embeddings=tied,
        max_position_embeddings=40960, rope_theta=1e6, attn_implementation="sdpa", use_cache=False)
    with torch.device("meta"):
        model = transformers.Qwen3ForCausalLM(config)
    if args.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.bfloat16)
    for index, layer in enumerate(model.model.layers):
        if args.compile:
            layer.compile()
        fully_shard(layer, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    model.to_empty(device=device)
    model.tie_weights()
    with torch.no_grad():
        for name, param in model.named_parameters():
            local = param.to_local()
            local.fill_(1) if param.dim() == 1 else local.normal_(0, 0.02)
        rotary = model.model.rotary_emb
        fresh = type(rotary)(config=config, device=device)
        for name, buffer in fresh.named_buffers():
            setattr(rotary, name, buffer)
        rotary.original_inv_freq = fresh.inv_freq
    return model, config


def flops_per_token(config, sequence):
    head_dim = config.head_dim
    q, kv = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    matrices = config.hidden_size * (q + 2 * kv) + q * config.hidden_size + 3 * config.hidden_size * config.intermediate_size
    weights = config.num_hidden_layers * matrices + config.vocab_size * config.hidden_size
    return 6 * weights + 6 * config.num_hidden_layers * q * sequence


def run_step(model, optimizer, args, device):
    for micro in range(args.accumulation):
        model.set_requires_gradient_sync(micro == args.accumulation - 1)
        ids = torch.randint(VOCAB, (args.micro_batch, args.block_size), device=device)
        loss = model(input_ids=ids, labels=ids).loss / args.accumulation
        loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()  # as a training loop that logs


def main():
    if not torch.cuda.is_available():
        skip("no GPU")
    args = arguments()
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    torch.manual_seed(rank)
    model, config = make_model(args, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    seconds = []
    for step in range(args.warmup + args.steps):
        torch.cuda.synchronize()
        began = time.perf_counter()
        loss = run_step(model, optimizer, args, device)
        torch.cuda.synchronize()
        if step >= args.warmup:
            seconds.append(time.perf_counter() - began)
    if rank == 0:
        tokens = args.micro_batch * args.block_size * args.accumulation
        median = statistics.median(seconds)
        print(json.dumps({
            "peer": "FSDP2 + transformers" + (" compiled" if args.compile else ""), "model": args.model, "world": world,
            "sequence": args.block_size, "micro_batch": args.micro_batch, "accumulation": args.accumulation,
            "checkpointing": args.checkpointing, "tokens_per_second_per_gpu": tokens / median,
            "mfu": tokens / median * flops_per_token(config, args.block_size) / PEAK_FLOPS,
            "seconds": median, "seconds_least": min(seconds), "seconds_most": max(seconds), "last_loss": loss,
            "peak_bytes": torch.cuda.max_memory_allocated(), "torch": torch.__version__,
            "transformers": transformers.__version__}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

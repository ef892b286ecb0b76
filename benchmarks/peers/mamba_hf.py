"""transformers' MambaForCausalLM on random tokens: the peer of `zt bench --model mamba-130m`. One JSON line per run.

usage: python benchmarks/peers/mamba_hf.py [--hidden 768] [--layers 24] [--micro_batch 1] [--block_size 2048]
         [--steps 3] [--warmup 1] [--cpu]
fp32 weights, autocast to bf16, fused AdamW, clipping at 1, one full step per line of tokens. With the mamba_ssm and
causal_conv1d packages transformers takes their kernels, without them its own loops; the line says which. Says so and
exits with 77 when a package or a GPU is missing.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time


def skip(reason):
    print(f"SKIP mamba_hf: {reason}", flush=True)
    sys.exit(77)


try:
    import torch
    import transformers
except ImportError as error:
    skip(str(error))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--vocab", type=int, default=50280)
    parser.add_argument("--micro_batch", type=int, default=1)
    parser.add_argument("--block_size", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--cpu", action="store_true")
    return parser.parse_args()


def step(model, optimizer, ids, device):
    with torch.autocast(device.type, dtype=torch.bfloat16):
        logits = model(ids, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return loss.item()


def main():
    args = arguments()
    if not args.cpu and not torch.cuda.is_available():
        skip("no GPU")
    device = torch.device("cpu" if args.cpu else "cuda")
    torch.manual_seed(0)
    config = transformers.MambaConfig(vocab_size=args.vocab, hidden_size=args.hidden, num_hidden_layers=args.layers)
    model = transformers.MambaForCausalLM(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    seconds = []
    for index in range(args.warmup + args.steps):
        ids = torch.randint(0, args.vocab, (args.micro_batch, args.block_size), device=device)
        begin = time.perf_counter()
        loss = step(model, optimizer, ids, device)  # .item() waits for the device
        if index >= args.warmup:
            seconds.append(time.perf_counter() - begin)
    median = statistics.median(seconds)
    kernels = [name for name in ("mamba_ssm", "causal_conv1d") if importlib.util.find_spec(name)]
    print(json.dumps({"peer": f"transformers {transformers.__version__}", "kernels": kernels or "none",
                      "parameters": model.num_parameters(), "micro_batch": args.micro_batch,
                      "block_size": args.block_size, "step_seconds": median, "loss": loss,
                      "tokens_per_second": args.micro_batch * args.block_size / median}), flush=True)


if __name__ == "__main__":
    main()

"""Logits and every gradient of our Mamba layers against transformers, on random small models.

Odd batch and sequence lengths, lengths beyond one chunk of the scan, other state sizes and widths of the convolution,
tied and untied, and packed documents, which transformers gets one by one. fp32: logits and gradients to 1e-5
relative (norm of the difference over norm, per tensor). Gradients of A_log, dt_proj and x_proj are sums over the whole
sequence that the chunked scan adds in another order than the loop of transformers: 1e-4. bf16 and fp16 to the
tolerances below; there A_log, D and dt_proj.bias are fp32 on both sides. Selective recomputation equals keeping
everything to the bit. Environment: ZT_BUILD_DIR (holds testing/model_probe).
"""

import copy
import pathlib
import sys
import tempfile

import torch
from transformers import MambaConfig, MambaForCausalLM

import _probe
from _probe import report

FP32_TOLERANCE, SCAN_ORDER_TOLERANCE = 1e-5, 1e-4
SCAN_ORDER = ("A_log", "dt_proj.weight", "dt_proj.bias", "x_proj.weight")
# bf16 keeps 8 bits; roundings of a dozen operations per layer add up to a few units of 2^-8. transformers rounds the
# scan's partial results to bf16 besides.
BF16_TOLERANCE = 5e-2
FP16_TOLERANCE = BF16_TOLERANCE / 8  # 11 bits
KEPT_FP32 = ("A_log", "D", "dt_proj.bias")


def make_model(folder, seed, **sizes):
    torch.manual_seed(seed)
    config = MambaConfig(**({"vocab_size": 331, "hidden_size": 48, "num_hidden_layers": 3} | sizes))
    model = MambaForCausalLM(config)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if "norm" in name or name.endswith(".D"):
                param.uniform_(0.5, 1.5)
            elif name.endswith("conv1d.bias"):
                param.uniform_(-0.3, 0.3)
            elif name.endswith("A_log"):
                param.add_(torch.empty_like(param).uniform_(-0.2, 0.2))
    model.save_pretrained(folder)
    return model


def reference(model, ids, targets, starts):
    """Every document alone; logits in the order of the batch."""
    model.zero_grad()
    flat_ids, flat_targets = ids.flatten(), targets.flatten()
    logits, total = [], 0.0
    for begin, end in zip(starts, starts[1:]):
        part = model(flat_ids[begin:end].unsqueeze(0), use_cache=False).logits
        loss = _probe.loss_sum(part, flat_targets[begin:end].unsqueeze(0))
        loss.backward()
        logits.append(part.detach().float().squeeze(0))
        total += loss.item()
    return torch.cat(logits), total


def narrowed(model, kind):
    """A copy in 16 bits, except what stays fp32."""
    peer = copy.deepcopy(model).to(kind)
    if kind != torch.float32:
        wide = dict(model.named_parameters())
        for name, param in peer.named_parameters():
            if name.endswith(KEPT_FP32):
                param.data = wide[name].detach().clone()
    return peer


def limit_of(name, dtype):
    if dtype == "fp32":
        return SCAN_ORDER_TOLERANCE if name.endswith(SCAN_ORDER) else FP32_TOLERANCE
    return BF16_TOLERANCE if dtype == "bf16" else FP16_TOLERANCE


def compare(model, folder, masked, batch, length, work, what):
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(0, 331, (batch, length), generator=generator)
    targets = torch.randint(0, 331, (batch, length), generator=generator)
    targets[torch.rand(batch, length, generator=generator) < 0.2] = -100
    rows = [r * length for r in range(batch)] + [batch * length]
    starts = _probe.document_starts(batch, length, generator) if masked else rows
    positions, _ = _probe.positions_of(batch, length, starts)
    what = f"{what} {'documents' if masked else 'whole rows'} {batch}x{length}"
    for dtype, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        peer = narrowed(model, kind)
        logits, loss = reference(peer, ids, targets, starts)
        ours = _probe.probe(folder, work, ids, targets, positions, starts if masked else [], dtype, "all")
        errors = _probe.errors_against(ours, logits, {n: p.grad for n, p in peer.named_parameters()})
        worst = max(errors, key=lambda name: errors[name] / limit_of(name, dtype))
        report(f"{what} {dtype}", errors[worst] < limit_of(worst, dtype),
               f"{len(errors)} tensors, logits {errors['logits']:.2e}, nearest its limit {worst} {errors[worst]:.2e} "
               f"(limit {limit_of(worst, dtype):.0e})")
        off = abs(ours["loss_sum"].item() - loss) / abs(loss)
        report(f"{what} {dtype} loss", off < limit_of("logits", dtype), f"{off:.2e}")
        again = _probe.probe(folder, work, ids, targets, positions, starts if masked else [], dtype, "selective")
        report(f"{what} {dtype} selective", all(torch.equal(ours[n], again[n]) for n in ours),
               "the same bits as keeping everything")


def main():
    kinds = (("tied", {}, ((1, 7), (3, 33))),
             ("untied, 5 states, 3 taps, no conv bias, residual in 16 bits",
              {"tie_word_embeddings": False, "state_size": 5, "conv_kernel": 3, "use_conv_bias": False,
               "residual_in_fp32": False, "time_step_rank": 7}, ((2, 131),)))
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        for seed, (what, sizes, shapes) in enumerate(kinds):
            folder = work / f"model{seed}"
            model = make_model(folder, seed, **sizes)
            for batch, length in shapes:
                for masked in (False, True):
                    compare(model, folder, masked, batch, length, work, what)
    sys.exit(_probe.finish())


if __name__ == "__main__":
    main()

"""Logits and every gradient of our Qwen3 layers against transformers, on random small models.

Odd batch and sequence lengths, tied and untied, with and without document masks; fp32 to 1e-5 relative
(norm of the difference over norm, per tensor), bf16 and fp16 to the tolerances below; selective recomputation equals
keeping everything to the bit. Environment: ZT_BUILD_DIR (holds testing/model_probe).
"""

import copy
import pathlib
import sys
import tempfile

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

import _probe
from _probe import report

FP32_TOLERANCE = 1e-5
# bf16 keeps 8 bits; roundings of a dozen operations per layer add up to a few units of 2^-8.
BF16_TOLERANCE = 5e-2
FP16_TOLERANCE = BF16_TOLERANCE / 8  # 11 bits


def make_model(folder, tied, seed):
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=331, hidden_size=72, intermediate_size=136, num_hidden_layers=3,
        num_attention_heads=6, num_key_value_heads=2, head_dim=16, max_position_embeddings=128,
        tie_word_embeddings=tied, rope_theta=1e6)
    config._attn_implementation = "eager"
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if "norm" in name:
                param.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    return model


def positions_and_mask(batch, length, starts):
    positions, document = _probe.positions_of(batch, length, starts)
    same = document.unsqueeze(2) == document.unsqueeze(1)
    causal = torch.tril(torch.ones(length, length, dtype=torch.bool))
    return positions, (same & causal).unsqueeze(1)


def reference(model, ids, targets, positions, mask):
    model.zero_grad()
    bias = torch.zeros(mask.shape, dtype=model.dtype).masked_fill(~mask, torch.finfo(model.dtype).min)
    logits = model(ids, position_ids=positions, attention_mask=bias).logits
    loss = _probe.loss_sum(logits, targets)
    loss.backward()
    return logits.detach().float().flatten(0, 1), loss.item()


def compare(tied, masked, batch, length, work, seed):
    folder = work / "model"
    model = make_model(folder, tied, seed)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 331, (batch, length), generator=generator)
    targets = torch.randint(0, 331, (batch, length), generator=generator)
    targets[torch.rand(batch, length, generator=generator) < 0.2] = -100
    starts = _probe.document_starts(batch, length, generator) if masked else [0]
    positions, mask = positions_and_mask(
        batch, length, starts if masked else [r * length for r in range(batch)] + [batch * length])
    if not masked:
        starts = []
    what = f"{'tied' if tied else 'untied'} {'documents' if masked else 'causal'} {batch}x{length}"
    for dtype, kind, tolerance in (("fp32", torch.float32, FP32_TOLERANCE), ("bf16", torch.bfloat16, BF16_TOLERANCE),
                                   ("fp16", torch.float16, FP16_TOLERANCE)):
        peer = copy.deepcopy(model).to(kind)
        logits, loss = reference(peer, ids, targets, positions, mask)
        ours = _probe.probe(folder, work, ids, targets, positions, starts, dtype, "all")
        errors = _probe.errors_against(ours, logits, {n: p.grad for n, p in peer.named_parameters()})
        worst = max(errors, key=errors.get)
        report(f"{what} {dtype}", errors[worst] < tolerance,
               f"{len(errors)} tensors, worst {worst} {errors[worst]:.2e} (limit {tolerance:.0e})")
        off = abs(ours["loss_sum"].item() - loss) / abs(loss)
        report(f"{what} {dtype} loss", off < tolerance, f"{off:.2e}")
        again = _probe.probe(folder, work, ids, targets, positions, starts, dtype, "selective")
        same = all(torch.equal(ours[name], again[name]) for name in ours)
        report(f"{what} {dtype} selective", same, "the same bits as keeping everything")


def main():
    with tempfile.TemporaryDirectory() as work:
        seed = 0
        for tied in (True, False):
            for masked in (False, True):
                for batch, length in ((1, 7), (3, 33)):
                    seed += 1
                    compare(tied, masked, batch, length, pathlib.Path(work), seed)
    sys.exit(_probe.finish())


if __name__ == "__main__":
    main()

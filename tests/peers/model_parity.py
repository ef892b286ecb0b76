"""Logits and every gradient of our Qwen3 layers against transformers, on random small models.

Odd batch and sequence lengths, tied and untied, with and without document masks; fp32 to 1e-5 relative
(norm of the difference over norm, per tensor), bf16 and fp16 to the tolerances below; selective recomputation equals
keeping everything to the bit. Environment: ZT_BUILD_DIR (holds testing/model_probe).
"""

import copy
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import Qwen3Config, Qwen3ForCausalLM

PROBE = next(pathlib.Path(os.environ["ZT_BUILD_DIR"]).rglob("model_probe"))
FP32_TOLERANCE = 1e-5
# bf16 keeps 8 bits; roundings of a dozen operations per layer add up to a few units of 2^-8.
BF16_TOLERANCE = 5e-2
FP16_TOLERANCE = BF16_TOLERANCE / 8  # 11 bits
FAILURES = 0


def report(name, ok, detail):
    global FAILURES
    FAILURES += not ok
    print(f"{'PASS' if ok else 'FAIL'} {name}: {detail}", flush=True)


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


def document_starts(batch, length, generator):
    starts = []
    for row in range(batch):
        starts.append(row * length)
        cuts = torch.randperm(length - 1, generator=generator)[:2].add(1).sort().values.tolist()
        starts += [row * length + c for c in cuts]
    return starts + [batch * length]


def positions_and_mask(batch, length, starts):
    document = torch.zeros(batch * length, dtype=torch.long)
    for start in starts[1:-1]:
        document[start:] += 1
    index = torch.arange(batch * length)
    first = torch.tensor(starts)[document]
    positions = (index - first).view(batch, length)
    document = document.view(batch, length)
    same = document.unsqueeze(2) == document.unsqueeze(1)
    causal = torch.tril(torch.ones(length, length, dtype=torch.bool))
    return positions, (same & causal).unsqueeze(1)


def reference(model, ids, targets, positions, mask):
    model.zero_grad()
    bias = torch.zeros(mask.shape, dtype=model.dtype).masked_fill(~mask, torch.finfo(model.dtype).min)
    logits = model(ids, position_ids=positions, attention_mask=bias).logits
    loss = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum")
    loss.backward()
    return logits.detach().float().flatten(0, 1), loss.item()


def relative(a, b):
    return (torch.linalg.norm(a.double() - b.double()) / torch.linalg.norm(b.double())).item()


def probe(folder, work, ids, targets, positions, starts, dtype, keep):
    numbers = [*ids.shape, len(starts)]
    for tensor in (ids, targets, positions):
        numbers += tensor.flatten().tolist()
    source, target = work / "input.txt", work / f"out-{dtype}-{keep}.safetensors"
    source.write_text(" ".join(map(str, numbers + starts)))
    subprocess.run([PROBE, folder, source, target, dtype, keep], check=True)
    return load_file(target)


def compare(tied, masked, batch, length, work, seed):
    folder = work / "model"
    model = make_model(folder, tied, seed)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 331, (batch, length), generator=generator)
    targets = torch.randint(0, 331, (batch, length), generator=generator)
    targets[torch.rand(batch, length, generator=generator) < 0.2] = -100
    starts = document_starts(batch, length, generator) if masked else [0]
    positions, mask = positions_and_mask(
        batch, length, starts if masked else [r * length for r in range(batch)] + [batch * length])
    if not masked:
        starts = []
    what = f"{'tied' if tied else 'untied'} {'documents' if masked else 'causal'} {batch}x{length}"
    for dtype, kind, tolerance in (("fp32", torch.float32, FP32_TOLERANCE), ("bf16", torch.bfloat16, BF16_TOLERANCE),
                                   ("fp16", torch.float16, FP16_TOLERANCE)):
        peer = copy.deepcopy(model).to(kind)
        logits, loss = reference(peer, ids, targets, positions, mask)
        ours = probe(folder, work, ids, targets, positions, starts, dtype, "all")
        errors = {"logits": relative(ours["logits"], logits)}
        for name, param in peer.named_parameters():
            errors[name] = relative(ours[name], param.grad.float())
        worst = max(errors, key=errors.get)
        report(f"{what} {dtype}", errors[worst] < tolerance,
               f"{len(errors)} tensors, worst {worst} {errors[worst]:.2e} (limit {tolerance:.0e})")
        off = abs(ours["loss_sum"].item() - loss) / abs(loss)
        report(f"{what} {dtype} loss", off < tolerance, f"{off:.2e}")
        again = probe(folder, work, ids, targets, positions, starts, dtype, "selective")
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
    print(f"{'FAIL' if FAILURES else 'PASS'}: {FAILURES} failures")
    sys.exit(1 if FAILURES else 0)


if __name__ == "__main__":
    main()

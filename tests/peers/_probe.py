"""Runs our layers on one batch through testing/model_probe, for comparisons with transformers.

Environment: ZT_BUILD_DIR (holds testing/model_probe).
"""

import os
import pathlib
import subprocess

import torch
from safetensors.torch import load_file

FAILURES = 0


def report(name, ok, detail):
    global FAILURES
    FAILURES += not ok
    print(f"{'PASS' if ok else 'FAIL'} {name}: {detail}", flush=True)


def finish():
    """Exit status of a test: 1 when a check failed."""
    print(f"{'FAIL' if FAILURES else 'PASS'}: {FAILURES} failures")
    return 1 if FAILURES else 0


def document_starts(batch, length, generator):
    """First tokens of documents in the flattened batch, with its end: three documents per row."""
    starts = []
    for row in range(batch):
        starts.append(row * length)
        cuts = torch.randperm(length - 1, generator=generator)[:2].add(1).sort().values.tolist()
        starts += [row * length + c for c in cuts]
    return starts + [batch * length]


def positions_of(batch, length, starts):
    """Each token's position in its document."""
    document = torch.zeros(batch * length, dtype=torch.long)
    for start in starts[1:-1]:
        document[start:] += 1
    index = torch.arange(batch * length)
    return (index - torch.tensor(starts)[document]).view(batch, length), document.view(batch, length)


def relative(a, b):
    return (torch.linalg.norm(a.double() - b.double()) / torch.linalg.norm(b.double())).item()


def loss_sum(logits, targets):
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum")


def probe(folder, work, ids, targets, positions, starts, dtype, keep):
    """Logits, loss and every gradient of our layers; `starts` empty: no document mask."""
    program = next(pathlib.Path(os.environ["ZT_BUILD_DIR"]).rglob("model_probe"))
    numbers = [*ids.shape, len(starts)]
    for tensor in (ids, targets, positions):
        numbers += tensor.flatten().tolist()
    source, target = work / "input.txt", work / f"out-{dtype}-{keep}.safetensors"
    source.write_text(" ".join(map(str, numbers + starts)))
    subprocess.run([program, folder, source, target, dtype, keep], check=True)
    return load_file(target)


def errors_against(ours, logits, named_grads):
    """Relative difference of the logits and of every gradient."""
    errors = {"logits": relative(ours["logits"], logits)}
    for name, grad in named_grads.items():
        errors[name] = relative(ours[name], grad.float())
    return errors

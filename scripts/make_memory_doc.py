#!/usr/bin/env python3
"""Writes docs/memory.md from what `zt plan` prints; with --check it fails when the file says something else.

--models limits the shapes that are planned (--check then compares only their lines).
"""

import argparse
import pathlib
import re
import subprocess
import sys

SHAPES = ["Qwen3-0.6B", "Qwen3-1.7B", "Qwen3-4B", "Qwen3-8B", "Qwen3-14B", "Qwen3-32B"]
CARDS = ["24GB", "80GB", "141GB"]
RANKS = [1, 2, 8]
BLOCK = 4096
MICRO_STEPS = 16
MARKED = re.compile(r"^\* (\d) +(\S+) +(\S+) +([\d.]+) +([\d.]+)")
STAGE_ROWS = re.compile(r"^[ *] (\d) +none +full +([\d.]+)")

TEMPLATE = """# Memory

`zt plan` computes what a run needs before it starts, from the same list of operations that the engine executes. The
tables below are its output (`scripts/make_memory_doc.py` writes this page, a test compares it).

## What is counted

| part | what it is |
|---|---|
| arena | one allocation with every planned buffer: parameters, gradients, optimizer states, activations, stashes, wires of the collectives, scratch. Its size is exact: the engine allocates this many bytes |
| library | the most that ATen allocates by itself during one call, an upper estimate of each layer |
| context | driver context, kernels, cuBLAS and cuDNN with their workspaces: the constant 1.2 GiB (measured on an H200, in `src/plan/device_costs.h`) |
| communicator | NCCL's buffers with more than one rank: the constant 0.75 GiB (measured on two H200, same file) |

Bytes per parameter of a bf16 run on n ranks: bf16 parameters 2, fp32 gradients 4, fp32 master and two moments 12.

| stage | bytes per parameter | with the optimizer on the host |
|---|---|---|
| 0 | 2 + 4 + 12 | not offered |
| 1 | 2 + 4 + 12 / n | 2 + 4 |
| 2 | 2 + (4 + 12) / n, and one unit's bf16 gradient | 2, and one unit's bf16 gradient |
| 3 | (2 + 4 + 12) / n, and the gathered units | 2 / n, and the gathered units |

`zt plan --model FOLDER|SHAPE --nproc N --gpu_memory 24GB --details` prints the kinds and the largest buffers at the
operation where most is live, `--schedule` every operation. A row fits when it needs at most 90 % of the memory. The row
marked `*` has the least offload, then the least recomputation, then the fewest bytes sent.

## What to take

bf16, blocks of {block} tokens, micro-batch 1, {steps} micro-steps. Stage, offload with what it
takes of the host, recomputation: GiB of the GPU, all per rank.

{tables}
## What each stage needs

GiB per rank of 8 without offload and with full recomputation, same run.

{stages}
## The classic arithmetic

Guides multiply parameters by bytes per parameter and divide what a stage shards by the number of cards. That is
the size of the model states under an assumption, and nothing else. `zt plan --tables` prints it (with `--model` for
that model under four assumptions) beside the plan of a model of that size, here with the settings from above:

{classic}
## Advice by size

The usual advice in the planner's figures, for 8 cards. A model that fits with less offload or recomputation is faster,
so `zt plan` takes that.

{advice}"""


def run_plan(program, shape, ranks, memory=None):
    """Lines that `zt plan` prints for one model; it exits with 1 when nothing fits."""
    command = [program, "plan", "--model", shape, "--nproc", str(ranks), "--bf16", "--block_size", str(BLOCK),
               "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", str(MICRO_STEPS)]
    if memory:
        command += ["--gpu_memory", memory]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode not in (0, 1):
        sys.exit(f"[make_memory_doc] {' '.join(command)} failed:\n{result.stderr}")
    return result.stdout.splitlines()


def cell(lines):
    for line in lines:
        match = MARKED.match(line)
        if match:
            stage, offload, recompute, device, host_size = match.groups()
            host = "" if offload == "none" else f", {offload} on the host ({float(host_size):.0f} GiB)"
            return f"stage {stage}{host}, {recompute}: {float(device):.1f}"
    return "does not fit"


def card_table(program, card, shapes):
    lines = [f"### {card[:-2]} GB per GPU", "", "| model | " + " | ".join(f"{n} GPU" for n in RANKS) + " |",
             "|---" * (len(RANKS) + 1) + "|"]
    for shape in shapes:
        cells = [cell(run_plan(program, shape, ranks, card)) for ranks in RANKS]
        lines.append(f"| {shape} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def stage_table(program, shapes):
    lines = ["| model | stage 0 | stage 1 | stage 2 | stage 3 |", "|---|---|---|---|---|"]
    for shape in shapes:
        found = dict(m.groups() for m in map(STAGE_ROWS.match, run_plan(program, shape, 8)) if m)
        lines.append(f"| {shape} | " + " | ".join(f"{float(found[str(s)]):.1f}" for s in range(4)) + " |")
    return "\n".join(lines) + "\n"


def run_tables(program, card):
    """The blocks that `zt plan --tables` prints without a model: classic sums and assumptions, and the advice."""
    command = [program, "plan", "--tables", "--num_gpus", "8", "--gpu_memory", card, "--block_size", str(BLOCK),
               "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", str(MICRO_STEPS)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    classic, mark, advice = text.partition("the usual advice on")
    return classic.rstrip() + "\n", mark + advice


def indented(text):
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())


def page(program, shapes):
    cards = CARDS if shapes == SHAPES else CARDS[:1]
    printed = [run_tables(program, card) for card in cards]
    return TEMPLATE.format(block=BLOCK, steps=MICRO_STEPS, stages=stage_table(program, shapes),
                           classic=indented(printed[0][0]), advice="\n".join(indented(text) for _, text in printed),
                           tables="\n".join(card_table(program, card, shapes) for card in CARDS))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", nargs="?", default="./zt")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--models", nargs="+", default=SHAPES, choices=SHAPES)
    arguments = parser.parse_args()
    file = pathlib.Path(__file__).resolve().parent.parent / "docs" / "memory.md"
    text = page(arguments.program, arguments.models)
    if not arguments.check:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return
    written = file.read_text().splitlines()
    missing = [line for line in text.splitlines() if line not in written]
    for line in missing:
        print(f"FAIL docs/memory.md has no line: {line}")
    print(f"{'FAIL' if missing else 'PASS'} docs/memory.md against zt plan ({', '.join(arguments.models)})")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()

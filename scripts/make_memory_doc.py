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
CARDS = {"24GB": "RTX4090", "80GB": "H100", "141GB": "H200"}  # memory: whose data sheet gives the times
RANKS = [1, 2, 8]
BLOCK = 4096
MICRO_STEPS = 16
TAKEN = re.compile(r"^take: (.*)$")
SETTING = re.compile(r"^ +[\d.]+ +\d+ +([\d.]+) +([\d.]+) +[\d.]+  (stage .*)$")
NAME = re.compile(r"stage (\d), (?:no offload|optimizer cpu(?: \(ratio ([\d.]+)\))?(, params cpu)?), recompute (\w+)$")
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
operation where most is live, `--schedule` every operation. A row fits when it needs at most 90 % of the memory. `take:` names
the setting with the shortest predicted step, the simplest of those that are within 2 % of each other; its row is marked `*`.
Nothing leaves the device where everything fits without recomputation. `--host_memory` is that of one machine, which its ranks
share; `--num_nodes` spreads the `--nproc` ranks over several machines.

## What to take

bf16, blocks of {block} tokens, micro-batch 1, {steps} micro-steps, times by the data sheet of the card that is named. Stage,
offload (with the share of the states that leaves, if not all) and what it takes of the host, recomputation: GiB of the GPU, all per rank, as a run takes them: it uses the room that
is left, for instance to compute several micro-batches as one.

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

The usual advice in the planner's figures, for 8 cards. The first row that fits with the least offload, then the
least recomputation, then the fewest bytes sent.

{advice}"""


def run_plan(program, shape, ranks, memory=None):
    """Lines that `zt plan` prints for one model; it exits with 1 when nothing fits."""
    command = [program, "plan", "--model", shape, "--nproc", str(ranks), "--bf16", "--block_size", str(BLOCK),
               "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", str(MICRO_STEPS)]
    if memory:
        command += ["--gpu_memory", memory, "--device", CARDS[memory]]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode not in (0, 1):
        sys.exit(f"[make_memory_doc] {' '.join(command)} failed:\n{result.stderr}")
    return result.stdout.splitlines()


def cell(lines):
    """What the plan takes; its line among the settings holds the memory."""
    taken = [match[1] for match in map(TAKEN.match, lines) if match]
    for match in map(SETTING.match, lines):
        if not match or [match[3]] != taken:
            continue
        device, host_size, name = match.groups()
        stage, ratio, params, recompute = NAME.match(name).groups()
        share = f"{float(ratio) * 100:.0f} %, " if ratio else ""
        host = f", optimizer{'+params' if params else ''} on the host ({share}{float(host_size):.0f} GiB)" if float(host_size) else ""
        return f"stage {stage}{host}, {recompute}: {float(device):.1f}"
    return "does not fit"


def card_table(program, card, shapes):
    lines = [f"### {card[:-2]} GB per GPU ({CARDS[card]})", "", "| model | " + " | ".join(f"{n} GPU" for n in RANKS) + " |",
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
    cards = list(CARDS)[: None if shapes == SHAPES else 1]
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

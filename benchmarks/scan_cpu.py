"""The selective scan on the CPU, fp32: selective_scan_bench beside PyTorch's loop over tokens.

The loop is the one that `transformers` runs without kernels (its states for all tokens made at once, then one step
per token; here over unbind's views, whose backward does not build a whole tensor per token), with autograd. Wall time:
the two take turns, and the ratio is taken turn by turn, so that other load on the machine meets both.
Usage: scan_cpu.py BUILD_DIR [TURNS]; the number of threads is OMP_NUM_THREADS.
"""

import pathlib
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

BATCH, SEQUENCE, CHANNELS, STATES = 2, 512, 768, 16


def torch_loop(u, delta, a_log, b, c, skip, z):
    step = F.softplus(delta)
    decay = torch.exp(step[..., None] * -torch.exp(a_log))
    inputs = (step * u)[..., None] * b[:, :, None, :]
    state = torch.zeros(BATCH, CHANNELS, STATES)
    outputs = []
    for decay_t, input_t, c_t in zip(decay.unbind(1), inputs.unbind(1), c.unbind(1)):
        state = decay_t * state + input_t
        outputs.append(torch.matmul(state, c_t[..., None])[..., 0])
    return (torch.stack(outputs, 1) + skip * u) * F.silu(z)


def torch_inputs():
    wide = lambda low, high: (torch.rand(BATCH, SEQUENCE, CHANNELS) * (high - low) + low).requires_grad_()
    thin = lambda: (torch.rand(BATCH, SEQUENCE, STATES) * 2 - 1).requires_grad_()
    return (wide(-1, 1), wide(-5, 0), (torch.rand(CHANNELS, STATES) * 2.7).requires_grad_(), thin(), thin(),
            torch.rand(CHANNELS).requires_grad_(), wide(-1, 1))


def torch_ms(inputs):
    """One call: forward alone, and forward + backward."""
    start = time.perf_counter()
    with torch.no_grad():
        torch_loop(*inputs)
    forward = time.perf_counter() - start
    start = time.perf_counter()
    torch_loop(*inputs).sum().backward()
    return 1e3 * forward, 1e3 * (time.perf_counter() - start)


def ours_ms(program):
    """Medians of 9 calls."""
    numbers = [str(value) for value in (BATCH, SEQUENCE, CHANNELS, STATES, 9)]
    forward, backward = subprocess.run([program, *numbers], check=True, stdout=subprocess.PIPE).stdout.split()
    return float(forward), float(forward) + float(backward)


def main():
    program = next(pathlib.Path(sys.argv[1]).rglob("selective_scan_bench"))
    inputs = torch_inputs()
    torch_ms(inputs)
    turns = [(ours_ms(program), torch_ms(inputs)) for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 7)]
    print(f"({BATCH}, {SEQUENCE}, {CHANNELS}, {STATES}), {torch.get_num_threads()} threads, {len(turns)} turns: median (least to most)")
    spread = lambda values: f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
    for which, name in enumerate(("forward", "forward + backward")):
        mine, peer = ([turn[side][which] for turn in turns] for side in (0, 1))
        print(f"{name}: zerotrain {spread(mine)} ms, PyTorch's loop {spread(peer)} ms, "
              f"ratio {spread([b / a for a, b in zip(mine, peer)])}")


if __name__ == "__main__":
    main()

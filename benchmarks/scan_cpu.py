"""The selective scan on the CPU, fp32: selective_scan_bench beside PyTorch's loop over tokens.

The loop is the one that `transformers` runs without kernels (its states for all tokens made at once, then one step
per token; here over unbind's views, whose backward does not build a whole tensor per token), with autograd. Wall time, medians, alternating runs in one process tree.
Usage: scan_cpu.py BUILD_DIR [ROUNDS]; the number of threads is OMP_NUM_THREADS.
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


def torch_ms(rounds):
    wide = lambda low, high: (torch.rand(BATCH, SEQUENCE, CHANNELS) * (high - low) + low).requires_grad_()
    thin = lambda: (torch.rand(BATCH, SEQUENCE, STATES) * 2 - 1).requires_grad_()
    inputs = (wide(-1, 1), wide(-5, 0), (torch.rand(CHANNELS, STATES) * 2.7).requires_grad_(), thin(), thin(),
              torch.rand(CHANNELS).requires_grad_(), wide(-1, 1))
    forward, backward = [], []
    for _ in range(rounds + 1):
        with torch.no_grad():
            start = time.perf_counter()
            torch_loop(*inputs)
            forward.append(1e3 * (time.perf_counter() - start))
        start = time.perf_counter()
        torch_loop(*inputs).sum().backward()
        backward.append(1e3 * (time.perf_counter() - start))
    return statistics.median(forward[1:]), statistics.median(backward[1:])


def ours_ms(program, rounds):
    numbers = [str(value) for value in (BATCH, SEQUENCE, CHANNELS, STATES, rounds)]
    forward, backward = subprocess.run([program, *numbers], check=True, stdout=subprocess.PIPE).stdout.split()
    return float(forward), float(forward) + float(backward)


def main():
    program = next(pathlib.Path(sys.argv[1]).rglob("selective_scan_bench"))
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    ours, theirs = [], []
    for _ in range(2):
        ours.append(ours_ms(program, rounds))
        theirs.append(torch_ms(rounds))
    for name, which in (("forward", 0), ("forward + backward", 1)):
        mine, peer = [min(pair[which] for pair in pairs) for pairs in (ours, theirs)]
        print(f"{name} ({BATCH}, {SEQUENCE}, {CHANNELS}, {STATES}), threads {torch.get_num_threads()}: "
              f"zerotrain {mine:.1f} ms, PyTorch's loop {peer:.1f} ms, ratio {peer / mine:.1f}")


if __name__ == "__main__":
    main()

"""Time of each kernel of a training step, by Nsight Compute: where "other kernels" of `zt bench` go.

usage: gpu_kernels.py BIN_DIR WORK_DIR SECONDS [SHAPE...]     shapes: one coalesced wide (default: all)
One GPU, operation by operation, one micro-step in the middle of a run. Kernels run one at a time under the
profiler, so the sum is the work without overlap and without gaps.
"""

import collections
import csv
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gpu_rows

COMMON = ["--nproc", 1, "--ceiling", "false", "--shares", "false", "--steps", 1, "--warmup", 1, "--cuda_graphs", "off"]
SHAPES = {  # flags, kernels skipped, kernels measured
    "one": (gpu_rows.ONE_BY_ONE + gpu_rows.CHECKPOINTED + ["--zero_stage", 3], 3000, 1500),
    "coalesced": (gpu_rows.ONE_BY_ONE + ["--zero_stage", 3, "--coalesce", 16, "--recompute", "none"], 60, 1100),
    "wide": (gpu_rows.WIDE + ["--zero_stage", 3, "--recompute", "none"], 60, 1100),
}


def short(name):
    name = re.sub(r"\(anonymous namespace\)::|<unnamed>::|zt::kernels::|void ", "", name)
    return re.sub(r"\(.*", "", name)[:70]


def main():
    session = gpu_rows.Session(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 1, float(sys.argv[3]))
    for shape in sys.argv[4:] or SHAPES:
        flags, skip, count = SHAPES[shape]
        log = session.work / f"{shape}.csv"
        began = time.monotonic()
        status, out, err = session.call(
            ["ncu", "--clock-control", "none", "--cache-control", "none", "--metrics", "gpu__time_duration.sum", "--csv",
             "--target-processes", "all", "--launch-skip", skip, "--launch-count", count, "--log-file", log,
             session.bins / "zt", "bench", *flags, *COMMON], 150)
        rows = [line for line in log.read_text().splitlines() if line.startswith('"')] if log.exists() else []
        total = collections.defaultdict(lambda: [0, 0.0])
        for row in csv.DictReader(rows):
            unit = {"ns": 1e-3, "nsecond": 1e-3, "us": 1.0, "usecond": 1.0, "ms": 1e3}.get(row["Metric Unit"], 1.0)
            entry = total[short(row["Kernel Name"])]
            entry[0] += 1
            entry[1] += float(row["Metric Value"].replace(",", "")) * unit
        whole = sum(time_us for _, time_us in total.values())
        print(f"[{shape}] {len(rows)} kernels, {whole / 1e3:.2f} ms, run {time.monotonic() - began:.0f} s, status {status}")
        for name, (number, time_us) in sorted(total.items(), key=lambda item: -item[1][1])[:34]:
            print(f"  {time_us:9.1f} us {number:5d} x {time_us / number:7.2f}  {name}")
        if not rows:
            print((out + err)[-800:])
        sys.stdout.flush()


if __name__ == "__main__":
    main()

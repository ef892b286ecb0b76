"""Equal bits whatever the links do: bf16 training with every collective delayed at random, CUDA graphs on.

usage: delays.py ZT SHIM WORK_DIR RANKS [SECONDS]
SHIM is libdelay_shim.so (src/comm), preloaded into zt: up to 3 ms before each collective on its stream, drawn
anew at each replay, or before each signal of a copy between GPUs (--transfers copy). Losses, norms and saved weights must
equal those of a run without delays, for stages 1 to 3, both reduce_at, one micro-batch at a time. Exits with 1 when bits differ, a run fails or no delay took place.
"""

import pathlib
import re
import sys
import time

import gate

STEPS, ACCUMULATION = 6, 4


def main():
    zt, shim, work, ranks = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]), int(sys.argv[4])
    deadline = time.monotonic() + float(sys.argv[5] if len(sys.argv) > 5 else 220)
    if not shim.exists():
        print(f"FAIL delays: {shim} is not there")
        sys.exit(1)
    runner = gate.Runner(zt, work, ranks)
    model = gate.make_model(work / "model", 1024, 8, 16, 8, 3072, True)
    done = 0
    for reduce_at, stages in (("micro_step", (3, 1, 2)), ("boundary", (3, 2))):
        flags = ["--deterministic", "--reduce_at", reduce_at, "--recompute", "full", "--coalesce", "off"]
        what = dict(steps=STEPS, accumulation=ACCUMULATION)
        plain = runner.run(f"{reduce_at} stage {stages[0]}, no delays", model, stages[0], flags=flags, **what)
        for stage in stages:
            for transfers in ("nccl", "copy"):
                if time.monotonic() > deadline:
                    print("SKIP the rest: no time left", flush=True)
                    break
                delayed = runner.run(f"{reduce_at} stage {stage}, {transfers}, delayed", model, stage, **what,
                                     flags=flags + ["--transfers", transfers], environment={"LD_PRELOAD": str(shim)})
                counts = [tuple(map(int, found)) for found in
                          re.findall(r"\[delay_shim\] (\d+) waits, (\d+) of them captured", runner.log)]
                happened = len(counts) >= ranks and all(captured > 0 for _, captured in counts)
                copied = transfers == "nccl" or "collectives are copies" in runner.log
                good = plain is not None and delayed == plain and happened and copied
                runner.problems += not good
                done += good
                print(f"{'PASS' if good else 'FAIL'} equal to the bit: {delayed == plain}; waits and captured ones by rank: {counts}"
                      f"{'' if copied else '; nothing was copied'}", flush=True)
    print(f"{'FAIL' if runner.problems else 'PASS'} delays: {done} delayed runs equal, {runner.problems} problems")
    sys.exit(1 if runner.problems else 0)


if __name__ == "__main__":
    main()

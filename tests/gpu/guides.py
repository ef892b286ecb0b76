"""Both guide scripts at their defaults on real GPUs: the Qwen3-0.6B shape, stages 1, 2 and 3, to the end, with evaluation.

usage: guides.py ZT WORK_DIR RANKS [STAGE,...]
The model has random weights (FROM_SCRATCH); data are random tokens, 10000 blocks of 512. Nothing but paths is set, so
this is 0.5 epochs at micro-batch 1, accumulation 16. Says where our processes listened meanwhile; torchrun's agent is
exempt. Exits with 1 when a run fails, writes no results, or listens on every interface or nowhere.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from _processes import descendants, everywhere, listening  # noqa: E402
from gate import BLOCK, VOCAB, make_model  # noqa: E402

SCRIPTS = HERE.parents[1] / "scripts"


def make_data(folder, rows):
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    generator = random.Random(2)
    with open(folder / "tokens.jsonl", "w", encoding="utf-8") as file:
        for _ in range(rows):
            file.write(json.dumps({"input_ids": generator.choices(range(VOCAB), k=BLOCK)}) + "\n")
    return folder


def is_agent(pid):
    """torchrun's own process, or one that has just ended."""
    try:
        words = pathlib.Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
    except OSError:
        return True
    return any(word.endswith(b"/torchrun") for word in words)


def run(script, stage, ranks, env, output):
    """Problems of one run."""
    shutil.rmtree(output, ignore_errors=True)
    log = output.with_suffix(".log")
    begun, sockets = time.monotonic(), set()
    with open(log, "wb") as file:
        process = subprocess.Popen([SCRIPTS / script, str(stage), "1", str(ranks)], stdout=file, stderr=file,
                                   env=env | {"OUTPUT_DIR": str(output)})
    while process.poll() is None:
        ours = [pid for pid in [process.pid, *descendants(process.pid)] if not is_agent(pid)]
        sockets |= {(address, everywhere(address)) for _, address, _ in listening(ours)}
        time.sleep(0.5)
    seconds = time.monotonic() - begun
    if process.returncode != 0:
        print(f"FAIL {script} stage {stage}: status {process.returncode}\n{log.read_text(errors='replace')[-3000:]}")
        return 1
    rows = [json.loads(line) for line in open(output / "metrics.jsonl", encoding="utf-8")]
    speeds = sorted(row["tokens_per_second"] / ranks for row in rows[2:])
    results = json.loads((output / "all_results.json").read_text())
    wrong = not sockets or any(bad for _, bad in sockets)
    print(f"{'FAIL' if wrong else 'PASS'} {script:34s} stage {stage}: {len(rows)} steps in {seconds:.0f} s in all, "
          f"{speeds[len(speeds) // 2]:.0f} tok/s/GPU, loss {rows[0]['loss']:.4f} to {rows[-1]['loss']:.4f}, "
          f"eval_loss {results['eval_loss']:.4f}; listened on {sorted({a for a, _ in sockets})}", flush=True)
    return int(wrong)


def main():
    zt, work, ranks = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    stages = [int(s) for s in (sys.argv[4] if len(sys.argv) > 4 else "1,2,3").split(",")]
    model = make_model(work / "qwen3-0.6b", 1024, 28, 16, 8, 3072, True)
    env = os.environ | {"ZT": str(pathlib.Path(zt).resolve()), "MODEL_PATH": str(model), "FROM_SCRATCH": "True",
                        "TRAIN_DATA_DIR": str(make_data(work / "train", 10_000)),
                        "VALID_DATA_DIR": str(make_data(work / "valid", 12)), "CACHE_DIR": str(work / "cache")}
    failed = sum(run(script, stage, ranks, env, work / f"{script}-{stage}")
                 for script in ("deepspeed_multi_node_multi_gpu.sh", "torchrun_multi_node_multi_gpu.sh")
                 for stage in stages)
    print(f"{'FAIL' if failed else 'PASS'}: {failed} problems")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

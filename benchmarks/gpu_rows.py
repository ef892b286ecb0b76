"""Checks and speed rows on real GPUs: what benchmarks/results/speed_*.md is made from.

usage: gpu_rows.py BIN_DIR WORK_DIR RANKS SECONDS PART[,PART...]
  tests    kernels_cuda_test, and comm_nccl_test with two GPUs or more
  graphs   CUDA graphs on and off, stages and offload: losses, norms and weights equal to the bit
  calibrate  `zt bench --calibrate`; rows after it are predicted too
  peers    benchmarks/peers/fsdp2.py, eager and compiled;  peers:NAME+NAME takes these only
  rows     the rows of the table through `zt bench`;  rows:NAME+NAME takes these only, NAME@VARIABLE=VALUE in that
           environment
BIN_DIR holds zt and the test programs (`.xz` is unpacked). The libraries of an installed torch are found by
themselves. What fails is reported and the next part runs; nothing starts after SECONDS. Exits with 1 when
a check failed.
"""

import importlib.util
import json
import lzma
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = ["--model", "Qwen3-0.6B", "--bf16"]
ONE_BY_ONE = SMALL + ["--block_size", 512, "--per_device_train_batch_size", 1, "--gradient_accumulation_steps", 16]
WIDE = SMALL + ["--block_size", 1024, "--per_device_train_batch_size", 16, "--gradient_accumulation_steps", 1]
LARGE = ["--model", "Qwen3-8B", "--bf16", "--block_size", 4096, "--per_device_train_batch_size", 2,
         "--gradient_accumulation_steps", 1]
CHECKPOINTED = ["--recompute", "full", "--coalesce", "off"]
ROWS = {
    "one": ONE_BY_ONE + CHECKPOINTED + ["--zero_stage", 3],
    "one_streams": ONE_BY_ONE + CHECKPOINTED + ["--zero_stage", 3, "--cuda_graphs", "off", "--ceiling", "false"],
    "one_stage2": ONE_BY_ONE + CHECKPOINTED + ["--zero_stage", 2, "--ceiling", "false"],
    "one_deterministic": ONE_BY_ONE + CHECKPOINTED + ["--zero_stage", 3, "--deterministic"],
    "coalesced": ONE_BY_ONE + ["--zero_stage", 3],
    "coalesced_streams": ONE_BY_ONE + ["--zero_stage", 3, "--cuda_graphs", "off", "--ceiling", "false"],
    "coalesced_deterministic": ONE_BY_ONE + ["--zero_stage", 3, "--deterministic"],
    "wide3": WIDE + ["--zero_stage", 3],
    "wide2": WIDE + ["--zero_stage", 2, "--ceiling", "false"],
    "wide3_streams": WIDE + ["--zero_stage", 3, "--cuda_graphs", "off", "--ceiling", "false"],
    "wide3_native": WIDE + ["--zero_stage", 3, "--reduce", "native", "--ceiling", "false"],
    "8b_full": LARGE + ["--zero_stage", 3, "--recompute", "full"],
    "8b_quick": LARGE + ["--zero_stage", 3, "--recompute", "full", "--ceiling", "false", "--shares", "false", "--steps", 6,
                         "--warmup", 3],
    "8b_selective": LARGE + ["--zero_stage", 3, "--recompute", "selective", "--ceiling", "false"],
    "8b_none": LARGE + ["--zero_stage", 3, "--recompute", "none"],
    "8b_full_streams": LARGE + ["--zero_stage", 3, "--recompute", "full", "--cuda_graphs", "off", "--ceiling", "false"],
}
PEERS = {
    "one": ["--block_size", 512, "--micro_batch", 1, "--accumulation", 16, "--checkpointing"],
    "one_compiled": ["--block_size", 512, "--micro_batch", 1, "--accumulation", 16, "--checkpointing", "--compile"],
    "coalesced_compiled": ["--block_size", 512, "--micro_batch", 16, "--accumulation", 1, "--compile"],
    "wide_compiled": ["--block_size", 1024, "--micro_batch", 16, "--accumulation", 1, "--compile"],
    "8b_compiled": ["--model", "Qwen3-8B", "--block_size", 4096, "--micro_batch", 2, "--accumulation", 1, "--checkpointing",
                    "--compile", "--steps", 8],
}
DEFAULT_ROWS = ["one", "one_streams", "coalesced", "wide3", "wide2", "8b_full", "wide3_streams", "coalesced_streams",
                "one_stage2"]


def unpack(folder, target):
    target.mkdir(parents=True, exist_ok=True)
    for file in filter(pathlib.Path.is_file, folder.iterdir()):
        out = target / file.name.removesuffix(".xz")
        out.write_bytes(lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes())
        out.chmod(0o755)
    return target


def environment():
    """This one with the libraries of the installed torch in front."""
    spec = importlib.util.find_spec("torch")
    if spec is None:
        return dict(os.environ)
    torch = pathlib.Path(spec.origin).parent
    folders = [torch / "lib", *sorted((torch.parent / "nvidia").glob("*/lib"))]
    old = os.environ.get("LD_LIBRARY_PATH", "")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([str(x) for x in folders] + [old])}


class Session:
    def __init__(self, bins, work, ranks, seconds):
        self.work, self.ranks, self.deadline = work, ranks, time.monotonic() + seconds
        self.bins, self.env, self.problems = unpack(bins, work / "bin"), environment(), 0
        os.environ.update(self.env)  # tests/gpu/gate.py starts programs with its own environment

    def left(self):
        return self.deadline - time.monotonic()

    def call(self, command, limit, variables=None):
        """Exit status and output; 124 when it ran past its limit."""
        try:
            done = subprocess.run([str(x) for x in command], env={**self.env, **(variables or {})}, capture_output=True, text=True,
                                  timeout=max(1, min(limit, self.left())))
            return done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            text = [x.decode(errors="replace") if isinstance(x, bytes) else x or "" for x in (late.stdout, late.stderr)]
            return 124, *text

    def test(self, name, limit):
        program = self.bins / name
        if not program.exists() or self.left() < 10:
            print(f"SKIP {name}: {'no time left' if program.exists() else 'not carried'}", flush=True)
            return
        status, out, _ = self.call([program, "--gtest_brief=1"], limit)
        lines = [line for line in out.splitlines() if "FAILED" in line or "PASSED" in line or "SKIPPED" in line]
        self.problems += status != 0
        print(f"{'PASS' if status == 0 else 'FAIL'} {name} (status {status}): {'; '.join(lines[-6:])[:700]}", flush=True)
        rates = [" ".join(line.split()) for line in out.splitlines() if "% of copy" in line]
        if rates:
            print("  " + "; ".join(rates)[:2600], flush=True)
        if status != 0:
            errors = [line for line in out.splitlines() if "Failure" in line or "Expected" in line or "what()" in line]
            print("  " + "\n  ".join(errors[:8])[:1500], flush=True)

    def graphs(self):
        sys.path.insert(0, str(ROOT / "tests" / "gpu"))
        import gate
        runner = gate.Runner(str(self.bins / "zt"), self.work / "gate", self.ranks)
        model = gate.make_model(self.work / "gate" / "model", 1024, 8, 16, 8, 3072, True)
        for reduce_at, stages in (("micro_step", (1, 3)), ("boundary", (2, 3))):
            results = {}
            for stage in stages:
                for graphs in ("auto", "off") if stage == 3 else ("auto",):
                    if self.left() < 30:
                        print("SKIP graphs: no time left", flush=True)
                        return
                    flags = ["--deterministic", "--reduce_at", reduce_at, *gate.FULL, "--cuda_graphs", graphs]
                    try:
                        results[stage, graphs] = runner.run(f"{reduce_at} stage {stage} graphs {graphs}", model, stage, 4,
                                                            accumulation=4, flags=flags)
                    except subprocess.TimeoutExpired:
                        results[stage, graphs] = None
            first = next(iter(results.values()))
            equal = first is not None and all(result == first for result in results.values())
            self.problems += not equal
            print(f"{'PASS' if equal else 'FAIL'} graphs {reduce_at}: {len(results)} runs equal to the bit", flush=True)

    def keep(self, file):
        out = os.environ.get("OUT")
        if out and file.exists():
            (pathlib.Path(out) / file.name).write_text(file.read_text())

    def calibrate(self):
        file = self.work / "device.json"
        began = time.monotonic()
        status, out, err = self.call([self.bins / "zt", "bench", "--calibrate", file, "--nproc", self.ranks, "--bf16"], 90)
        self.problems += status != 0
        print(f"{'PASS' if status == 0 else 'FAIL'} calibrate, {time.monotonic() - began:.0f} s", flush=True)
        if status != 0:
            print((out + err)[-900:], flush=True)
            return
        device = json.loads(file.read_text())
        print({name: value for name, value in device.items() if not isinstance(value, list)}, flush=True)
        self.keep(file)

    def peers(self, names):
        for name in names:
            if self.left() < 40:
                print(f"SKIP peer {name}: no time left", flush=True)
                continue
            status, out, err = self.call([sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", self.ranks,
                                          ROOT / "benchmarks" / "peers" / "fsdp2.py", *PEERS[name]], 150)
            line = next((line for line in out.splitlines() if line.startswith(("{", "SKIP"))), None)
            print(f"peer {name}: {line or f'status {status}: {(out + err)[-700:]}'}", flush=True)

    def rows(self, names):
        file = self.work / "rows.jsonl"
        device = self.work / "device.json"
        predict = ["--device_file", device] if device.exists() else []
        for item in names:
            name, *variables = item.split("@")
            limit = 200 if name.startswith("8b") else 75
            if self.left() < 25:
                print(f"SKIP {name}: no time left", flush=True)
                continue
            began = time.monotonic()
            status, out, err = self.call([self.bins / "zt", "bench", "--nproc", self.ranks, *ROWS[name], *predict,
                                          "--json", file], limit, dict(x.split("=") for x in variables))
            print(f"[{item}] {time.monotonic() - began:.0f} s", flush=True)
            if status == 0:
                print(out.rstrip(), flush=True)
                warnings = [line for line in err.splitlines() if "warning" in line.lower() and "engine" in line]
                print("\n".join(warnings[:2]), end="\n" if warnings else "", flush=True)
            else:
                self.problems += 1
                print(f"FAIL {name}: status {status}\n{(out + err)[-900:]}", flush=True)
        self.keep(file)


def main():
    bins, work, ranks, seconds, parts = sys.argv[1:6]
    session = Session(pathlib.Path(bins), pathlib.Path(work), int(ranks), float(seconds))
    for part in parts.split(","):
        if part == "tests":
            session.test("kernels_cuda_test", 150)
            if session.ranks > 1:
                session.test("comm_nccl_test", 60)
        elif part == "graphs":
            session.graphs()
        elif part == "calibrate":
            session.calibrate()
        elif part.startswith("peers"):
            session.peers(part.split(":")[1].split("+") if ":" in part else list(PEERS))
        elif part.startswith("rows"):
            session.rows(part.split(":")[1].split("+") if ":" in part else DEFAULT_ROWS)
    print(f"{'FAIL' if session.problems else 'PASS'}: {session.problems} problems", flush=True)
    sys.exit(1 if session.problems else 0)


if __name__ == "__main__":
    main()

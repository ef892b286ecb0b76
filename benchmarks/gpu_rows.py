"""Checks and speed rows on real GPUs: what benchmarks/results/speed_*.md is made from.

usage: gpu_rows.py BIN_DIR WORK_DIR RANKS SECONDS PART[,PART...]
  tests    kernels_cuda_test, and comm_nccl_test with two GPUs or more
  link     comm_nccl_test alone
  sanitize   compute-sanitizer (memcheck, racecheck) over the kernels' tests; two GPUs: both at once
  delays   tests/gpu/delays.py: equal bits under random delays of every collective
  loss     tests/gpu/loss.py: 200 steps beside two seeds of PyTorch
  profile  `zt train --profile` on the 0.6B shape: its trace, line by line
  graphs   CUDA graphs on and off, stages and offload: losses, norms and weights equal to the bit
  calibrate  `zt bench --calibrate`; rows after it are predicted too
  peers    benchmarks/peers/fsdp2.py, eager and compiled;  peers:NAME+NAME takes these only
  rows     the rows of the table through `zt bench`;  rows:NAME+NAME takes these only. NAME%2 runs on two GPUs,
           NAME@VARIABLE=VALUE in that environment, NAME!FLAG=VALUE with that flag more
  together:NAME%1+NAME%2   rows at the same time, each on GPUs of its own
  abab:NAME~PEER   a row, its peer, and both again
BIN_DIR holds zt and the test programs (`.xz` is unpacked). The libraries of an installed torch are found by
themselves. What fails is reported and the next part runs; nothing starts after SECONDS. A table of every row and
peer ends the output; rows are kept as they come. Exits with 1 when a check failed.
"""

import importlib.util
import json
import lzma
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
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
    "8b_none_again": LARGE + ["--zero_stage", 3, "--recompute", "none", "--ceiling", "false", "--shares", "false"],
    "8b_full_again": LARGE + ["--zero_stage", 3, "--recompute", "full", "--ceiling", "false", "--shares", "false"],
    "wide3_again": WIDE + ["--zero_stage", 3, "--ceiling", "false", "--shares", "false"],
    "wide3_quick": WIDE + ["--zero_stage", 3, "--ceiling", "false"],
    "wide3_deterministic": WIDE + ["--zero_stage", 3, "--deterministic"],
    "8b_full_streams": LARGE + ["--zero_stage", 3, "--recompute", "full", "--cuda_graphs", "off", "--ceiling", "false"],
}
PEERS = {
    "one": ["--block_size", 512, "--micro_batch", 1, "--accumulation", 16, "--checkpointing"],
    "one_compiled": ["--block_size", 512, "--micro_batch", 1, "--accumulation", 16, "--checkpointing", "--compile"],
    "coalesced_compiled": ["--block_size", 512, "--micro_batch", 16, "--accumulation", 1, "--compile"],
    "wide_compiled": ["--block_size", 1024, "--micro_batch", 16, "--accumulation", 1, "--compile"],
    "8b_compiled": ["--model", "Qwen3-8B", "--block_size", 4096, "--micro_batch", 2, "--accumulation", 1, "--checkpointing",
                    "--compile", "--steps", 8],
    "8b_none_compiled": ["--model", "Qwen3-8B", "--block_size", 4096, "--micro_batch", 2, "--accumulation", 1, "--compile",
                         "--steps", 10, "--warmup", 3],
}
SANITIZED = ("memcheck", "racecheck")
OWN_KERNELS = "-CudaSpeedTest.*:CudaGemmTest.*:CudaAttentionTest.*"  # the rest calls no library
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
        self.table, self.lock = [], threading.Lock()
        os.environ.update(self.env)  # tests/gpu/gate.py starts programs with its own environment

    def left(self):
        return self.deadline - time.monotonic()

    def call(self, command, limit, variables=None):
        """Exit status and output; 124 when it ran past its limit. Nothing that it started is left on a GPU then."""
        with subprocess.Popen([str(x) for x in command], env={**self.env, **(variables or {})}, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            try:
                out, errors = process.communicate(timeout=max(1, min(limit, self.left())))
                return process.returncode, out, errors
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return 124, *process.communicate()

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

    def script(self, name, *arguments, limit=240):
        """A check of tests/gpu in its own process; its last lines are the result."""
        if self.left() < 30:
            print(f"SKIP {name}: no time left", flush=True)
            return
        began = time.monotonic()
        status, out, err = self.call([sys.executable, ROOT / "tests" / "gpu" / name, *arguments], limit)
        self.problems += status != 0
        print(out.rstrip()[-6000:], flush=True)
        if status != 0:
            print(err[-900:], flush=True)
        print(f"{'PASS' if status == 0 else 'FAIL'} {name} (status {status}), {time.monotonic() - began:.0f} s", flush=True)

    def sanitize(self):
        """memcheck and racecheck over the kernels of our own, beside each other where there are two GPUs."""
        if self.left() < 40:
            print("SKIP sanitize: no time left", flush=True)
            return

        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(str(i) for i in range(self.ranks))).split(",")

        def check(tool, gpu, limit):
            began = time.monotonic()
            status, out, err = self.call(
                [shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer", "--tool", tool, "--error-exitcode", 9,
                 self.bins / "kernels_cuda_test", "--gtest_brief=1", f"--gtest_filter={OWN_KERNELS}"], limit,
                {"CUDA_VISIBLE_DEVICES": visible[gpu % len(visible)]})
            lines = [line for line in (out + err).splitlines() if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line
                     or "PASSED" in line or "FAILED" in line]
            with self.lock:
                self.problems += status != 0
                print(f"{'PASS' if status == 0 else 'FAIL'} {tool}, {time.monotonic() - began:.0f} s (status {status}): "
                      f"{'; '.join(lines[:6])}", flush=True)
                if status != 0:
                    print((out + err)[-1500:], flush=True)
        workers = [threading.Thread(target=check, args=(tool, index, 150)) for index, tool in enumerate(SANITIZED)]
        for worker in workers:
            worker.start()
            if self.ranks == 1:
                worker.join()
        for worker in workers:
            worker.join()

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

    def profile(self):
        """A real run with some steps traced; the trace is kept."""
        if self.left() < 40:
            print("SKIP profile: no time left", flush=True)
            return
        sys.path.insert(0, str(ROOT / "tests" / "gpu"))
        import gate
        runner = gate.Runner(str(self.bins / "zt"), self.work / "profile", self.ranks)
        model = gate.make_model(self.work / "profile" / "model", 1024, 28, 16, 8, 3072, True)
        done = runner.run("0.6B, 512 x 1 x 16, auto, profiled", model, 3, 8, flags=["--profile", "3"])
        trace = self.work / "profile" / "out" / "trace.json"
        self.problems += done is None or not trace.exists()
        if trace.exists():
            self.script("../../benchmarks/trace_summary.py", trace)
            self.keep(trace)

    def keep(self, file):
        out = os.environ.get("OUT")
        if out and file.exists():
            (pathlib.Path(out) / f"{self.work.name}_{file.name}").write_text(file.read_text())

    def calibrate(self):
        file = self.work / "device.json"
        began = time.monotonic()
        status, out, err = self.call([self.bins / "zt", "bench", "--calibrate", file, "--nproc", self.ranks, "--bf16"], 120)
        self.problems += status != 0
        print(f"{'PASS' if status == 0 else 'FAIL'} calibrate, {time.monotonic() - began:.0f} s", flush=True)
        if status != 0:
            print((out + err)[-900:], flush=True)
            return
        device = json.loads(file.read_text())
        print({name: value for name, value in device.items() if not isinstance(value, list)}, device["overlaps"], flush=True)
        self.keep(file)

    def peers(self, names):
        for name in names:
            if self.left() < 40:
                print(f"SKIP peer {name}: no time left", flush=True)
                continue
            began = time.monotonic()
            status, out, err = self.call([sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", self.ranks,
                                          ROOT / "benchmarks" / "peers" / "fsdp2.py", *PEERS[name]], 170)
            line = next((line for line in out.splitlines() if line.startswith(("{", "SKIP"))), None)
            print(f"peer {name}, {time.monotonic() - began:.0f} s: {line or f'status {status}: {(out + err)[-700:]}'}", flush=True)
            if line and line.startswith("{"):
                self.note(f"peer {name}", json.loads(line))
            else:
                self.problems += 1

    def note(self, name, row):
        """One line more for the table; kept at once."""
        with self.lock:
            self.table.append((name, row))
            with open(self.work / "rows.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"row": name, **row}) + "\n")
            self.keep(self.work / "rows.jsonl")

    def row(self, item, gpus=None):
        """`NAME[%RANKS][@VARIABLE=VALUE...][!FLAG=VALUE...]`; `gpus`: the devices it may see."""
        name, ranks = re.match(r"\w+", item).group(0), re.search(r"%(\d+)", item)
        variables = dict(x.split("=", 1) for x in re.findall(r"@([^@!%]+)", item))
        flags = [x for pair in re.findall(r"!([^@!%]+)", item) for x in ("--" + pair).split("=", 1)]
        if gpus:
            variables["CUDA_VISIBLE_DEVICES"] = gpus
        if self.left() < 25:
            print(f"SKIP {item}: no time left", flush=True)
            return
        device = self.work / "device.json"
        file = self.work / (re.sub(r"\W", "_", item) + ".jsonl")
        file.unlink(missing_ok=True)
        began = time.monotonic()
        status, out, err = self.call(
            [self.bins / "zt", "bench", "--nproc", ranks.group(1) if ranks else self.ranks, *ROWS[name], *flags,
             *(["--device_file", device] if device.exists() else []), "--json", file],
            120 if name.startswith("8b") else 75, variables)
        with self.lock:
            print(f"[{item}] {time.monotonic() - began:.0f} s", flush=True)
            if status == 0:
                print(out.rstrip(), flush=True)
                warnings = [line for line in err.splitlines() if "warning" in line.lower() and "engine" in line]
                print("\n".join(warnings[:2]), end="\n" if warnings else "", flush=True)
            else:
                self.problems += 1
                print(f"FAIL {item}: status {status}\n{(out + err)[-900:]}", flush=True)
        if status == 0:
            self.note(item, json.loads(file.read_text()))

    def rows(self, names):
        for item in names:
            self.row(item)

    def together(self, items):
        """Rows beside each other, each on GPUs of its own."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(str(i) for i in range(self.ranks))).split(",")
        first, workers = 0, []
        for item in items:
            count = int(re.search(r"%(\d+)", item).group(1))
            gpus = ",".join(visible[first:first + count])
            workers.append(threading.Thread(target=self.row, args=(item, gpus)))
            first += count
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def abab(self, pair):
        row, peer = pair.split("~")
        again = row + "_again" if row + "_again" in ROWS else row
        for ours in (row, again):
            self.row(ours)
            self.peers([peer])

    def print_table(self):
        if not self.table:
            return
        print(f"{'row':44s} {'GPUs':>4s} {'tokens/s':>9s} {'step ms':>8s} {'least':>8s} {'most':>8s} {'MFU':>6s} {'ceiling':>8s} "
              f"{'share':>6s} {'predicted':>9s} {'error':>7s} {'exposed':>7s} {'GiB':>6s}")
        for name, row in self.table:
            def cell(key, form, factor=1.0):
                return format(row[key] * factor, form) if row.get(key) is not None else "-"
            predicted = row.get("predicted_seconds")
            error = f"{100 * (predicted / row['seconds'] - 1):+.1f} %" if predicted else "-"
            exposed = row.get("time_shares", {}).get("exposed_communication")
            used = row.get("used_bytes", row.get("peak_bytes", 0)) / 2**30
            print(f"{name:44s} {row['world']:4d} {cell('tokens_per_second_per_gpu', '9.0f'):>9s} {cell('seconds', '8.2f', 1e3):>8s} "
                  f"{cell('seconds_least', '8.2f', 1e3):>8s} {cell('seconds_most', '8.2f', 1e3):>8s} {cell('mfu', '5.1f', 100):>6s} "
                  f"{cell('ceiling_tokens_per_second_per_gpu', '8.0f'):>8s} {cell('share_of_ceiling', '5.1f', 100):>6s} "
                  f"{cell('predicted_seconds', '9.2f', 1e3):>9s} {error:>7s} "
                  f"{'-' if exposed is None else f'{100 * exposed:.1f} %':>7s} {used:6.1f}", flush=True)


def main():
    bins, work, ranks, seconds, parts = sys.argv[1:6]
    session = Session(pathlib.Path(bins), pathlib.Path(work), int(ranks), float(seconds))
    for part in parts.split(","):
        if part == "link":
            session.test("comm_nccl_test", 60)
        elif part == "tests":
            session.test("kernels_cuda_test", 150)
            if session.ranks > 1:
                session.test("comm_nccl_test", 60)
        elif part == "sanitize":
            session.sanitize()
        elif part == "delays":
            session.script("delays.py", session.bins / "zt", session.bins / "libdelay_shim.so", session.work / "delays", session.ranks)
        elif part == "loss":
            session.script("loss.py", session.bins / "zt", session.work / "loss", session.ranks)
        elif part == "profile":
            session.profile()
        elif part == "graphs":
            session.graphs()
        elif part == "calibrate":
            session.calibrate()
        elif part.startswith("peers"):
            session.peers(part.split(":")[1].split("+") if ":" in part else list(PEERS))
        elif part.startswith("together:"):
            session.together(part.split(":")[1].split("+"))
        elif part.startswith("abab:"):
            session.abab(part.split(":")[1])
        elif part.startswith("rows"):
            session.rows(part.split(":")[1].split("+") if ":" in part else DEFAULT_ROWS)
    session.print_table()
    print(f"{'FAIL' if session.problems else 'PASS'}: {session.problems} problems", flush=True)
    sys.exit(1 if session.problems else 0)


if __name__ == "__main__":
    main()

"""Mamba on real GPUs: the scan's tests and times, speed rows beside transformers', the 7B preset on four cards.

usage: gpu_mamba.py BIN_DIR WORK_DIR SECONDS PART[,PART...]
  scan             kernels_cuda_test: scan and convolution against the CPU, then their times
  sanitize         memcheck and racecheck over those tests
  rows:NAME+NAME   rows of the table below through `zt bench`, one GPU
  peer:NAME+NAME   benchmarks/peers/mamba_hf.py
  7b:NAME+NAME     20 steps of `zt train --preset 7b_mamba` on the shipped text, with the dry run of the same flags and the
                   most memory that nvidia-smi saw, polled four times a second; four GPUs, NAME%2: on two
BIN_DIR holds zt and kernels_cuda_test (`.xz` is unpacked). What fails is reported and the next part runs; nothing starts
after SECONDS. Exits with 1 when something failed.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gpu_rows  # noqa: E402

BENCH = ["--nproc", 1, "--bf16", "--block_size", 2048, "--zero_stage", 1, "--ceiling", "false", "--gradient_accumulation_steps", 1]
ROWS = {  # model, micro-batch, further flags
    "1.4b_16": ("mamba-1.4b", 16, ["--steps", 8, "--warmup", 3]),
    "1.4b_4": ("mamba-1.4b", 4, ["--steps", 10, "--warmup", 3]),
    "130m_16": ("mamba-130m", 16, ["--steps", 10, "--warmup", 3]),
    "130m_32": ("mamba-130m", 32, ["--steps", 10, "--warmup", 3]),
}
PEERS = {
    "130m": ["--hidden", 768, "--layers", 24, "--micro_batch", 1, "--steps", 2],
    "1.4b": ["--hidden", 2048, "--layers", 48, "--micro_batch", 1, "--block_size", 512, "--steps", 1, "--warmup", 1],
}
HOST = {"offload_optimizer": {"device": "cpu", "pin_memory": True}}
SEVEN = {  # changes of configs/deepspeed_config.json, flags
    "z2": ({"stage": 2}, []),
    "z2_cap": ({"stage": 2, **HOST}, ["--gpu_memory", "24GB"]),
    "z3_cap": ({"stage": 3, **HOST}, ["--gpu_memory", "15GB"]),
    "z3": ({"stage": 3}, []),
    "z0": ({"stage": 0}, []),
}
FILTER = "--gtest_filter=CudaSelectiveScanTest.*:CudaCausalConv1dTest.*"


class DeviceMemory(threading.Thread):
    """Most MiB in use on each GPU, as nvidia-smi tells it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.stop = [], threading.Event()

    def run(self):
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        while not self.stop.wait(0.25):
            told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
            self.most = [max(pair) for pair in zip(map(int, told), self.most or [0] * len(told))]


def tokenizer(work):
    """The example's, without its limit of length."""
    folder = work / "tokenizer"
    shutil.copytree(gpu_rows.ROOT / "examples" / "tiny_qwen3", folder, dirs_exist_ok=True)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 1 << 20}))
    return folder


def scan(session):
    session.program("scan", [session.bins / "kernels_cuda_test", FILTER], 200, "FAILED|PASSED|Failure|limit")
    session.program("scan times", [session.bins / "kernels_cuda_test", "--gtest_filter=CudaScanSpeedTest.*"], 120, " x |ms")


def sanitize(session):
    for tool in gpu_rows.SANITIZED:
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", session.bins / "kernels_cuda_test", FILTER]
        session.program(f"scan under {tool}", command, 300, "ERROR SUMMARY|RACECHECK SUMMARY|FAILED|PASSED")


def rows(session, names):
    for name in names:
        model, batch, more = ROWS[name]
        command = [session.bins / "zt", "bench", "--model", model, *BENCH, "--per_device_train_batch_size", batch, *more]
        session.program(name, command, 240, ".")


def peers(session, names):
    for name in names:
        command = [sys.executable, gpu_rows.ROOT / "benchmarks" / "peers" / "mamba_hf.py", *PEERS[name]]
        session.program(f"peer {name}", command, 300, "{")


def seven(session, names):
    folder = tokenizer(session.work)
    for item in names:
        name, _, ranks = item.partition("%")
        changes, more = SEVEN[name]
        told = json.loads((gpu_rows.ROOT / "configs" / "deepspeed_config.json").read_text())
        told["zero_optimization"].update(changes)
        file = session.work / f"{name}.json"
        file.write_text(json.dumps(told))
        flags = ["--preset", "7b_mamba", "--num_gpus", ranks or 4, "--deepspeed_config", file, "--gradient_accumulation_steps", 2,
                 "--learning_rate", 1e-4, "--warmup_steps", 200, "--max_steps", 20, "--logging_steps", 1, *more]
        session.program(f"{name} predicted", [session.bins / "zt", "train", *flags, "--dry_run", "--device", "H200"], 60,
                        "memory|fits|time |host")
        output = session.work / "out"
        shutil.rmtree(output, ignore_errors=True)
        data = ["--train_file_dir", gpu_rows.ROOT / "examples" / "tiny_qwen3" / "train", "--tokenizer_name_or_path", folder,
                "--do_train", "--validation_split_percentage", 0, "--save_strategy", "no", "--output_dir", output]
        memory = DeviceMemory()
        memory.start()
        session.program(name, [session.bins / "zt", "train", *flags, *data], 300, "memory|arenas|trained|skip|not finite|error")
        memory.stop.set()
        memory.join()
        print(f"  nvidia-smi, most MiB per GPU: {memory.most} = {max(memory.most, default=0) * 2**20 / 1e9:.2f} GB at most", flush=True)
        if "24GB" in more and max(memory.most, default=0) * 2**20 > 24e9:
            session.problems += 1
            print(f"FAIL {name}: more than 24 GB", flush=True)
        if (output / "metrics.jsonl").exists():
            records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
            losses = [record["loss"] for record in records if isinstance(record.get("loss"), float)]
            rates = sorted(value for record in records for key, value in record.items() if "tokens_per_second" in key)
            falls = len(losses) == 20 and losses[-1] < losses[0]
            session.problems += not falls
            print(f"  {'PASS' if falls else 'FAIL'} loss {[round(x, 2) for x in losses]}, tokens/s {rates[len(rates) // 2:][:1]}", flush=True)
        shutil.rmtree(output, ignore_errors=True)


class Session(gpu_rows.Session):
    def program(self, name, command, limit, pattern):
        """Runs one command and prints the lines that match."""
        if self.left() < 15:
            print(f"SKIP {name}: no time left", flush=True)
            return
        began = time.monotonic()
        status, out, errors = self.call(command, limit)
        self.problems += status not in (0, 77)
        print(f"[{name}] {'' if status == 0 else f'FAIL status {status}, '}{time.monotonic() - began:.0f} s", flush=True)
        lines = [line for line in (out + errors).splitlines() if re.search(pattern, line)]
        print("  " + "\n  ".join(line[:260] for line in lines[-40:]), flush=True)
        if status not in (0, 77):
            print((out + errors)[-1500:], flush=True)


def main():
    bins, work, seconds, parts = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    work.mkdir(parents=True, exist_ok=True)
    session = Session(bins, work, 1, seconds)
    for part in parts.split(","):
        kind, _, names = part.partition(":")
        chosen = names.split("+") if names else []
        if kind in ("scan", "sanitize"):
            {"scan": scan, "sanitize": sanitize}[kind](session)
        elif kind in ("rows", "peer", "7b"):
            {"rows": rows, "peer": peers, "7b": seven}[kind](session, chosen)
        else:
            sys.exit(f"unknown part {kind}")
    sys.exit(1 if session.problems else 0)


if __name__ == "__main__":
    main()

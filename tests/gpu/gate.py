"""The equivalence gate, memory and speed of Qwen3 on real GPUs, through `zt train`.

usage: gate.py ZT WORK_DIR RANKS PART[,PART...]     parts: gate gate_fp16 overflow perf memory 8b
  gate    stages x offload, fp32, bf16 and fp16, both reduce_at: losses, norms and saved weights equal to the bit
  gate_fp16  its fp16 rows alone
  overflow   fp16 from a scale of 2^40: the scale halves with every skipped step until a step fits; the loss stays sound
  memory  peak of the driver per stage, bucket size and offload, beside the plan
  perf    tokens/s per GPU at block 512, micro-batch 1, accumulation 16
  8b      the 8B shape at stage 3, offload off and on
The model has random weights and one tokenizer file of examples/tiny_qwen3; data are random tokens.
Exits with 1 when a gate is broken, a run fails or a plan is off by more than 10 %.
"""

import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import threading
import time

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "tiny_qwen3"
VOCAB, BLOCK = 151936, 512
FULL = ["--recompute", "full"]
PROMISE = FULL + ["--retain", "off", "--coalesce", "off"]
PLAN_TOLERANCE = 10.0  # percent


def make_model(folder, hidden, layers, heads, kv_heads, ffn, tied):
    folder.mkdir(parents=True, exist_ok=True)
    config = dict(
        architectures=["Qwen3ForCausalLM"], model_type="qwen3", hidden_size=hidden,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
        head_dim=128, intermediate_size=ffn, vocab_size=VOCAB, max_position_embeddings=40960,
        rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=tied, hidden_act="silu")
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(EXAMPLE / name, folder / name)
    return folder


def make_data(folder, rows=600):
    folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(1)
    with open(folder / "tokens.jsonl", "w", encoding="utf-8") as file:
        for _ in range(rows):
            ids = [generator.randrange(VOCAB) for _ in range(BLOCK)]
            file.write(json.dumps({"input_ids": ids}) + "\n")
    return folder


class Peak(threading.Thread):
    """Most memory that the driver reported on any GPU, polled ten times a second."""

    def __init__(self):
        super().__init__()
        self.mebibytes, self.stop = 0, threading.Event()

    def run(self):
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        while not self.stop.is_set():
            out = subprocess.run(query, capture_output=True, text=True).stdout
            self.mebibytes = max([self.mebibytes] + [int(x) for x in out.split()])
            time.sleep(0.1)


class Runner:
    def __init__(self, zt, work, ranks):
        self.zt, self.work, self.ranks = zt, work, ranks
        self.data = make_data(work / "data")
        self.problems = 0
        self.log = ""  # of the last run

    def command(self, model, stage, steps, accumulation, offload, dtype, zero, flags, fp16):
        section = dict(stage=stage, **zero)
        if offload >= 1:
            section["offload_optimizer"] = {"device": "cpu"}
        if offload >= 2:
            section["offload_param"] = {"device": "cpu"}
        config = self.work / "ds_config.json"
        config.write_text(json.dumps({
            "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
            "zero_optimization": section, **({"fp16": {"enabled": True, **fp16}} if dtype == "fp16" else {})}))
        out = self.work / "out"
        shutil.rmtree(out, ignore_errors=True)
        return out, [
            self.zt, "train", "--model_name_or_path", model, "--from_scratch", "True",
            "--train_file_dir", self.data, "--block_size", BLOCK, "--deepspeed", config,
            "--per_device_train_batch_size", 1, "--gradient_accumulation_steps", accumulation,
            "--max_steps", steps, "--nproc", self.ranks, "--output_dir", out, "--save_strategy", "no",
            "--cache_dir", self.work / "cache", "--learning_rate", "1e-4",
            *(["--bf16"] if dtype == "bf16" else []), *flags]

    def run(self, name, model, stage, steps, accumulation=16, offload=0, dtype="bf16", zero=None,
            flags=(), fp16=None, environment=None):
        out, command = self.command(
            model, stage, steps, accumulation, offload, dtype, zero or {}, flags, fp16 or {})
        peak = Peak()
        peak.start()
        done = subprocess.run([str(x) for x in command], capture_output=True, text=True, timeout=400,
                              env={**os.environ, **(environment or {})})
        peak.stop.set()
        peak.join()
        log = self.log = done.stdout + done.stderr
        if done.returncode != 0:
            print(f"FAIL {name}: exit code {done.returncode}\n{log[-1500:]}", flush=True)
            self.problems += 1
            return None
        rows = [json.loads(line) for line in open(out / "metrics.jsonl", encoding="utf-8")]
        speeds = sorted(row["tokens_per_second"] / self.ranks for row in rows[1:])
        plan = re.search(r"device in all +(.*?) +([-+][\d.]+)%", log)
        off = float(plan.group(2)) if plan else float("nan")
        if not abs(off) <= PLAN_TOLERANCE:
            self.problems += 1
        digest = hashlib.sha256()
        for file in sorted(out.glob("*.safetensors")):
            digest.update(file.read_bytes())
        print(f"{name:36s} {speeds[len(speeds) // 2]:9.0f} tok/s/GPU ({speeds[0]:.0f} to {speeds[-1]:.0f})"
              f"  peak {peak.mebibytes} MiB, plan {off:+.1f} %  loss {rows[-1]['loss']:.9f}", flush=True)
        return [(row["loss"], row["grad_norm"], row["skipped"], row.get("loss_scale")) for row in rows], digest.hexdigest()

    def gate(self, model, dtype, reduce_at):
        what = f"{dtype} {reduce_at}"
        flags = ["--deterministic", "--reduce_at", reduce_at, *FULL]
        results = [
            self.run(f"{what} stage {stage} offload {offload}", model, stage, 2, accumulation=4,
                     offload=offload, dtype=dtype, flags=flags, fp16={"initial_scale_power": 10})
            for stage, offload in ((0, 0), (1, 0), (2, 0), (3, 0), (2, 1), (3, 1), (3, 2))]
        # The runs above launch their second step as CUDA graphs; this one does not.
        results.append(self.run(f"{what} stage 3 without graphs", model, 3, 2, accumulation=4, dtype=dtype,
                                flags=flags + ["--cuda_graphs", "off"], fp16={"initial_scale_power": 10}))
        equal = all(result is not None and result == results[0] for result in results)
        equal = equal and not any(row[2] for row in results[0][0])  # a skipped step would be equal everywhere
        self.problems += not equal
        print(f"{'PASS' if equal else 'FAIL'} gate {what}: {len(results)} runs", flush=True)

    def overflow(self, model):
        """The scale starts far too large and halves at each overflow; then the run trains."""
        done = self.run("fp16 from 2^40", model, 3, 40, accumulation=2, dtype="fp16",
                        fp16={"initial_scale_power": 40, "hysteresis": 1})
        rows = done[0] if done else []
        skipped = [row[2] for row in rows]
        first = skipped.index(False) if False in skipped else 0
        scales = [row[3] for row in rows]
        good = (first > 3 and scales[:first + 1] == [2.0 ** (40 - i) for i in range(first + 1)]
                and sum(skipped) < 35 and rows[-1][0] < 1.01 * rows[0][0])
        self.problems += not good
        print(f"{'PASS' if good else 'FAIL'} overflow: {sum(skipped)} of {len(rows)} steps skipped, the first {first}; "
              f"scale {scales[0] if scales else '-'} to {scales[-1] if scales else '-'}", flush=True)

    def memory(self, model):
        for stage in range(4):
            self.run(f"memory stage {stage}", model, stage, 3, accumulation=4,
                     flags=PROMISE + (["--reduce_at", "micro_step"] if stage >= 2 else []))
        for stage in (1, 2, 3):
            for bucket in (500_000_000, 50_000_000, 5_000_000):
                self.run(f"memory stage {stage} bucket {bucket}", model, stage, 3, accumulation=4,
                         zero={"reduce_bucket_size": bucket},
                         flags=PROMISE + (["--reduce_at", "micro_step"] if stage >= 2 else []))
        for offload in (1, 2):
            self.run(f"memory stage 3 offload {offload}", model, 3, 3, accumulation=4,
                     offload=offload, flags=PROMISE + ["--reduce_at", "micro_step"])

    def perf(self, model):
        for stage in (1, 2, 3):
            self.run(f"perf stage {stage}, one by one", model, stage, 20, flags=FULL + ["--coalesce", "off"])
        for stage in (1, 2, 3):
            self.run(f"perf stage {stage}, auto", model, stage, 20)


def main():
    zt, work, ranks, parts = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(",")
    runner = Runner(zt, work, ranks)
    small = make_model(work / "qwen3-0.6b", 1024, 28, 16, 8, 3072, True)
    if "gate" in parts:
        for dtype in ("bf16", "fp32", "fp16"):
            for reduce_at in ("micro_step", "boundary"):
                runner.gate(small, dtype, reduce_at)
    if "gate_fp16" in parts:
        for reduce_at in ("micro_step", "boundary"):
            runner.gate(small, "fp16", reduce_at)
    if "overflow" in parts:
        runner.overflow(small)
    if "memory" in parts:
        runner.memory(small)
    if "perf" in parts:
        runner.perf(small)
    if "8b" in parts:
        large = make_model(work / "qwen3-8b", 4096, 36, 32, 8, 12288, False)
        for bucket in (500_000_000, 50_000_000):
            runner.run(f"8B stage 3 bucket {bucket}", large, 3, 3, accumulation=2,
                       zero={"reduce_bucket_size": bucket}, flags=PROMISE + ["--reduce_at", "micro_step"])
        runner.run("8B stage 3 offload 2", large, 3, 2, accumulation=2, offload=2,
                   flags=PROMISE + ["--reduce_at", "micro_step"])
    print(f"{'FAIL' if runner.problems else 'PASS'}: {runner.problems} problems")
    sys.exit(1 if runner.problems else 0)


if __name__ == "__main__":
    main()

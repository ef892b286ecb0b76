"""Offload on real GPUs: speed rows with and without it, large models on few cards, 200 steps side by side.

usage: gpu_offload.py BIN_DIR WORK_DIR SECONDS PART[,PART...]
  rows:NAME+NAME   rows of the table below through `zt bench`; NAME@FLAG=VALUE adds a flag of zt
  gate:RANKS:DTYPE+DTYPE   stages, ratios and places (host, disk) of one model in deterministic mode: losses, norms and weights
                   equal to the bit
  loss:RANKS       200 steps in bf16, default mode, with offload and without: the losses of both
  plan             no GPU: device and host memory that each row needs by its plan
Several of these at once: one process each, with CUDA_VISIBLE_DEVICES and taskset (the host's optimizer takes as many threads
as its processors), and a WORK_DIR each.
BIN_DIR holds zt (`.xz` is unpacked). Host memory beside each row: the most that its processes held, polled twice a
second, beside the plan. What fails is reported and the next row runs; nothing starts after SECONDS. Exits with 1 when
something failed.
"""

import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gpu_rows  # noqa: E402

SPEED = ["--bf16", "--block_size", 4096, "--recompute", "full", "--ceiling", "false", "--shares", "false"]
FOUR = ["--model", "Qwen3-4B", *SPEED, "--per_device_train_batch_size", 2, "--gradient_accumulation_steps", 4,
        "--steps", 8, "--warmup", 3]
EIGHT = ["--model", "Qwen3-8B", *SPEED, "--per_device_train_batch_size", 2, "--gradient_accumulation_steps", 4,
         "--steps", 5, "--warmup", 2]
LARGE = [*SPEED, "--per_device_train_batch_size", 1, "--gradient_accumulation_steps", 4, "--steps", 4, "--warmup", 1]
# Llama-2-13B's widths: hidden size, layers, heads, key and value heads, feed-forward, vocabulary.
THIRTEEN = dict(hidden_size=5120, num_hidden_layers=40, num_attention_heads=40, num_key_value_heads=40,
                intermediate_size=13824, vocab_size=32000)
OPTIMIZER = {"offload_optimizer": {"device": "cpu"}}
BOTH = {**OPTIMIZER, "offload_param": {"device": "cpu"}}


def ratio(share):
    return {"offload_optimizer": {"device": "cpu", "ratio": share}}


def nvme(path):
    return {name: {"device": "nvme", "nvme_path": path} for name in ("offload_optimizer", "offload_param")}


# name: ranks, stage, sections, flags, seconds at most, further keys of the JSON file
ROWS = {
    "4b": (1, 2, {}, FOUR, 120, {}),
    "4b_z2": (1, 2, OPTIMIZER, FOUR, 180, {}),
    "4b_z2_quick": (1, 2, OPTIMIZER, FOUR[:-4] + ["--steps", 4, "--warmup", 2], 150, {}),
    "4b_z2_ratio": (1, 2, ratio(0.6), FOUR, 180, {}),
    "4b_z3": (1, 3, BOTH, FOUR, 180, {}),
    "4b_z3_optimizer": (1, 3, OPTIMIZER, FOUR, 180, {}),
    "8b_z2": (1, 2, OPTIMIZER, EIGHT, 300, {}),
    "8b_z2_two": (2, 2, OPTIMIZER, EIGHT, 240, {}),
    "8b_z3_two": (2, 3, BOTH, EIGHT, 240, {}),
    "13b_24gb": (1, 3, BOTH, ["--model", "13b", *LARGE, "--gpu_memory", "24GB"], 400, {}),
    "32b_z2": (4, 2, OPTIMIZER, ["--model", "Qwen3-32B", *LARGE], 500, {"data_types": {"grad_accum_dtype": "bf16"}}),
    "32b_z3": (4, 3, {}, ["--model", "Qwen3-32B", *LARGE], 300, {"data_types": {"grad_accum_dtype": "bf16"}}),
    "4b_quick": (1, 2, {}, FOUR[:-4] + ["--steps", 4, "--warmup", 2], 120, {}),
    "8b_z2_quick": (1, 2, OPTIMIZER, EIGHT[:-4] + ["--steps", 3, "--warmup", 1], 300, {}),
    "small_z2": (1, 2, OPTIMIZER, ["--model", "Qwen3-0.6B", *SPEED, "--per_device_train_batch_size", 2,
                                   "--gradient_accumulation_steps", 4, "--steps", 8, "--warmup", 3], 60, {}),
    "small": (1, 2, {}, ["--model", "Qwen3-0.6B", *SPEED, "--per_device_train_batch_size", 2,
                         "--gradient_accumulation_steps", 4, "--steps", 8, "--warmup", 3], 60, {}),
}


class HostPeak(threading.Thread):
    """Most memory that all processes with this program held together, without what they share with files."""

    def __init__(self, program):
        super().__init__(daemon=True)
        self.program, self.bytes, self.stop = str(program), 0, threading.Event()

    def run(self):
        while not self.stop.wait(0.5):
            total = 0
            for folder in pathlib.Path("/proc").glob("[0-9]*"):
                try:
                    if self.program not in (folder / "cmdline").read_text():
                        continue
                    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
                    total += sum(int(status.get(key, "0 kB").split()[0]) for key in ("RssAnon", "RssShmem")) * 1024
                except (OSError, ValueError):
                    continue
            self.bytes = max(self.bytes, total)


def model_folder(work, sizes):
    folder = work / "13b"
    folder.mkdir(parents=True, exist_ok=True)
    config = dict(architectures=["Qwen3ForCausalLM"], model_type="qwen3", head_dim=128, max_position_embeddings=40960,
                  rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=False, hidden_act="silu", **sizes)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def command_of(session, name, added):
    ranks, stage, sections, flags, _, more = ROWS[name]
    file = session.work / f"{name}.json"
    file.write_text(json.dumps({"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
                                "zero_optimization": {"stage": stage, **sections}, **more}))
    flags = [model_folder(session.work, THIRTEEN) if flag == "13b" else flag for flag in flags]
    given = [x for item in added for x in ("--" + item.split("=")[0], item.split("=")[1])]
    return [session.bins / "zt", "bench", "--nproc", ranks, *flags, *given, "--deepspeed", file]


def rows(session, names):
    out = session.work / "offload.jsonl"
    for item in names:
        name, *added = item.split("@")
        if session.left() < 40:
            print(f"SKIP {item}: no time left", flush=True)
            continue
        peak = HostPeak(session.bins / "zt")
        peak.start()
        began = time.monotonic()
        status, text, errors = session.call([*command_of(session, name, added), "--json", out], ROWS[name][4])
        peak.stop.set()
        peak.join()
        print(f"[{item}] {time.monotonic() - began:.0f} s, host {peak.bytes / 2**30:.1f} GiB", flush=True)
        session.problems += status != 0
        print(text.rstrip() if status == 0 else f"FAIL {item}: status {status}\n{(text + errors)[-1200:]}", flush=True)
        notes = [line for line in errors.splitlines() if "offload" in line or "warning" in line.lower()]
        if status == 0 and notes:
            print("\n".join(notes[:8]), flush=True)
    session.keep(out)


def plans(session):
    """What each row needs by `zt plan`, without starting it."""
    for name, (ranks, _, _, _, _, _) in ROWS.items():
        command = [str(x) for x in command_of(session, name, [])]
        drop = {"--steps", "--warmup", "--ceiling", "--shares", "--nproc"}
        flags, words = [], iter(command[2:])
        for word in words:
            if word in drop:
                next(words)
            else:
                flags.append(word)
        status, text, errors = session.call([session.bins / "zt", "plan", "--nproc", ranks, "--device", "H200", *flags], 60)
        given = [line for line in text.splitlines() if line.startswith("given")]
        print(f"[{name}] {given[0] if given else (text + errors)[-400:]}", flush=True)
        session.problems += not given


def runner_of(session, ranks, name):
    sys.path.insert(0, str(gpu_rows.ROOT / "tests" / "gpu"))
    import gate
    model = gate.make_model(session.work / name / "model", 1024, 6, 16, 8, 3072, True)
    return gate.Runner(str(session.bins / "zt"), session.work / name, ranks), model


def gate_rows(session, ranks, dtypes):
    """(stage, offload level, zero section) that must all give the bits of the first."""
    runner, model = runner_of(session, ranks, "gate")
    share = {"offload_optimizer": {"device": "cpu", "ratio": 0.4}}
    disk = nvme(str(session.work / "nvme"))
    states = {"offload_optimizer": disk["offload_optimizer"]}
    every = [(0, 0, {}), (1, 1, {}), (2, 0, {}), (2, 1, {}), (2, 0, share), (2, 0, states), (3, 0, {}), (3, 1, {}), (3, 2, {}),
             (3, 0, share), (3, 0, disk)]
    for dtype in dtypes:
        for reduce_at in ("micro_step", "boundary"):
            cases = every if reduce_at == "micro_step" else every[:1] + every[3:6] + every[8:]
            results = []
            for stage, offload, section in cases:
                if session.left() < 30:
                    print("SKIP gate: no time left", flush=True)
                    return
                results.append(runner.run(f"{dtype} {reduce_at} stage {stage} offload {offload} {len(section)}", model, stage, 3,
                                          accumulation=3, offload=offload, dtype=dtype, zero=section,
                                          flags=["--deterministic", "--reduce_at", reduce_at, "--recompute", "full"]))
            equal = results[0] is not None and all(result == results[0] for result in results)
            session.problems += not equal
            print(f"{'PASS' if equal else 'FAIL'} gate {dtype} {reduce_at}: {len(results)} runs equal to the bit", flush=True)


def loss(session, ranks):
    """200 steps in bf16 and default mode; offload may change the last bits only through other algorithms."""
    runner, model = runner_of(session, ranks, "loss")
    runs = [runner.run(f"200 steps, offload {offload}", model, 2, 200, accumulation=2, offload=offload, flags=["--recompute", "full"])
            for offload in (0, 1)]
    if None in runs:
        session.problems += 1
        return
    pairs = [(a[0], b[0]) for a, b in zip(runs[0][0], runs[1][0])]
    worst = max(abs(a - b) / abs(a) for a, b in pairs)
    good = worst < 1e-3
    session.problems += not good
    print(f"{'PASS' if good else 'FAIL'} loss: 200 steps, {sum(a == b for a, b in pairs)} equal to the bit, largest relative "
          f"difference {worst:.2e}, last {pairs[-1][0]:.6f} and {pairs[-1][1]:.6f}", flush=True)


def main():
    bins, work, seconds, parts = sys.argv[1:5]
    session = gpu_rows.Session(pathlib.Path(bins), pathlib.Path(work), 1, float(seconds))
    for part in parts.split(","):
        name, _, rest = part.partition(":")
        if name == "rows":
            rows(session, rest.split("+"))
        elif name == "gate":
            ranks, _, dtypes = rest.partition(":")
            gate_rows(session, int(ranks or 1), dtypes.split("+") if dtypes else ["bf16", "fp32"])
        elif name == "plan":
            plans(session)
        elif name == "loss":
            loss(session, int(rest or 1))
    print(f"{'FAIL' if session.problems else 'PASS'}: {session.problems} problems", flush=True)
    sys.exit(1 if session.problems else 0)


if __name__ == "__main__":
    main()

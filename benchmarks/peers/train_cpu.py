"""Training speed on the CPU: `zt train` beside a plain eager PyTorch + transformers loop, in turns.

usage: train_cpu.py [ZT] [ROUNDS]      (default ./zt, 3 rounds)
Both: the same 27M-parameter Qwen3 in fp32, batch 4 x 256 tokens, AdamW, clipping at 1, one process with all
cores. The loop uses torch.optim.AdamW(fused=True). Prints each run's tokens/s (median over its steps) and the ratio.
"""

import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BATCH, LENGTH, STEPS, VOCAB = 4, 256, 8, 8192
EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "tiny_qwen3"
CONFIG = dict(
    architectures=["Qwen3ForCausalLM"], model_type="qwen3", hidden_size=512, num_hidden_layers=8,
    num_attention_heads=8, num_key_value_heads=4, head_dim=64, intermediate_size=1536,
    vocab_size=VOCAB, max_position_embeddings=2048, rope_theta=1e6, rms_norm_eps=1e-6,
    tie_word_embeddings=True, hidden_act="silu", attention_bias=False)


def run_zt(program, work):
    command = [
        program, "train", "--model_name_or_path", work / "model", "--from_scratch", "True",
        "--train_file_dir", work / "data", "--block_size", LENGTH, "--packing", "True",
        "--per_device_train_batch_size", BATCH, "--max_steps", STEPS, "--use_cpu", "--nproc", 1,
        "--learning_rate", "1e-4", "--output_dir", work / "out", "--overwrite_output_dir", "--save_strategy", "no"]
    subprocess.run([str(x) for x in command], check=True, capture_output=True)
    rows = [json.loads(line) for line in open(work / "out" / "metrics.jsonl", encoding="utf-8")]
    return statistics.median(row["tokens_per_second"] for row in rows[1:])


def run_torch(work):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(os.cpu_count())
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(work / "model"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    speeds = []
    for _ in range(STEPS):
        started = time.perf_counter()
        ids = torch.randint(0, VOCAB, (BATCH, LENGTH))
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        speeds.append(BATCH * LENGTH / (time.perf_counter() - started))
    print(f"  parameters {sum(p.numel() for p in model.parameters()) / 1e6:.1f}M", flush=True)
    return statistics.median(speeds[1:])


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "./zt"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "model").mkdir()
        (work / "data").mkdir()
        (work / "model" / "config.json").write_text(json.dumps(CONFIG))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(EXAMPLE / name, work / "model" / name)
        generator = random.Random(1)
        with open(work / "data" / "tokens.jsonl", "w", encoding="utf-8") as file:
            for _ in range(BATCH * STEPS):
                ids = [generator.randrange(VOCAB) for _ in range(LENGTH)]
                file.write(json.dumps({"input_ids": ids}) + "\n")
        ratios = []
        for i in range(rounds):
            ours, theirs = run_zt(program, work), run_torch(work)
            ratios.append(ours / theirs)
            print(f"round {i + 1}: zt {ours:.0f} tokens/s, eager loop {theirs:.0f} tokens/s, "
                  f"ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()

"""Forward + backward of a small Qwen3 on the CPU, fp32: model_bench beside eager transformers.

CPU time of all threads, medians, alternating runs. Usage: model_cpu.py BUILD_DIR [ROUNDS]; the number of
threads is OMP_NUM_THREADS.
"""

import pathlib
import statistics
import subprocess
import sys
import time

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

SHAPE = dict(hidden=384, layers=8, heads=6, kv_heads=2, head_dim=64, ffn=1536, vocab=8192, batch=4, sequence=256)


def transformers_ms(rounds):
    config = Qwen3Config(
        vocab_size=SHAPE["vocab"], hidden_size=SHAPE["hidden"], intermediate_size=SHAPE["ffn"],
        num_hidden_layers=SHAPE["layers"], num_attention_heads=SHAPE["heads"],
        num_key_value_heads=SHAPE["kv_heads"], head_dim=SHAPE["head_dim"], tie_word_embeddings=True)
    model = Qwen3ForCausalLM(config)
    ids = torch.randint(0, SHAPE["vocab"], (SHAPE["batch"], SHAPE["sequence"]))
    times = []
    for _ in range(rounds + 1):
        start = time.process_time()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times[1:])


def ours_ms(program, rounds):
    numbers = [str(value) for value in SHAPE.values()]
    return float(subprocess.run([program, *numbers, str(rounds)], check=True, stdout=subprocess.PIPE).stdout.split()[0])


def main():
    program = next(pathlib.Path(sys.argv[1]).rglob("model_bench"))
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    ours, theirs = [], []
    for _ in range(2):
        ours.append(ours_ms(program, rounds))
        theirs.append(transformers_ms(rounds))
    print(f"threads {torch.get_num_threads()}: zerotrain {ours} ms, transformers {[round(t, 1) for t in theirs]} ms, "
          f"ratio {min(theirs) / min(ours):.2f}")


if __name__ == "__main__":
    main()

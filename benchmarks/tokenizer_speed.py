#!/usr/bin/env python3
"""Single-thread encoding speed beside the `tokenizers` package, in one run and in turns.

usage: tokenizer_speed.py PATH_TO_data_peer_tool TOKENIZER_DIR TEXT_FILE... > results.md
TOKENIZER_DIR may be `train:N`: the example's pipeline, trained to N tokens on the text files themselves.
CPU seconds are measured, so that other work on the machine counts less.
Text files: .jsonl rows with `text`, or plain text, one row per paragraph. Each round starts with empty
caches on our side; the package keeps its cache between rounds (which favours it).
"""
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402  (reads the two variables above)

ROUNDS = 7


def rows_of(path):
    text = pathlib.Path(path).read_text(encoding="utf-8")
    if path.endswith(".jsonl"):
        return [json.loads(line)["text"] for line in text.splitlines()]
    return [p for p in text.split("\n\n") if p]


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        return next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "?")


def trained(size, files, folder):
    """Saves the example's pipeline with `size` tokens trained on `files`."""
    example = pathlib.Path(__file__).resolve().parents[1] / "examples" / "tiny_qwen3"
    description = json.loads((example / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(description | {"added_tokens": []}))
    tokenizer.model = tokenizers.models.BPE()
    tokenizer.train_from_iterator((r for f in files for r in rows_of(f)), tokenizers.trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], show_progress=False))
    tokenizer.save(os.path.join(folder, "tokenizer.json"))


def main():
    tool, folder, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    with tempfile.TemporaryDirectory() as made:
        if folder.startswith("train:"):
            trained(int(folder[6:]), files, made)
            folder = made
        compare(tool, folder, files)


def compare(tool, folder, files):
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    calls = {
        "tokenizers `encode`, row by row": lambda rows: sum(len(tokenizer.encode(r).ids) for r in rows),
        "tokenizers `encode_batch`": lambda rows: sum(len(e.ids) for e in tokenizer.encode_batch(rows)),
        "tokenizers `encode_batch_fast`": lambda rows: sum(len(e.ids) for e in tokenizer.encode_batch_fast(rows)),
    }
    print(f"# Tokenizer speed, one thread\n\n{cpu_name()}, {platform.system()}; tokenizers {tokenizers.__version__}, "
          f"vocabulary {tokenizer.get_vocab_size()}; median of {ROUNDS} rounds taken in turns; CPU time.\n")
    print("| text | MB | ids | program | MB/s | million ids/s |\n|---|---|---|---|---|---|")
    for path in files:
        rows = rows_of(path)
        size = sum(len(r.encode()) for r in rows) / 1e6
        feed = "".join(json.dumps(r) + "\n" for r in rows)
        times = {name: [] for name in ["zerotrain", *calls]}
        for _ in range(ROUNDS):
            done = subprocess.run([tool, "time", folder, "1"], input=feed, capture_output=True, text=True, check=True)
            answer = json.loads(done.stdout)
            times["zerotrain"] += answer["seconds"]
            for name, call in calls.items():
                begin = time.process_time()
                ids = call(rows)
                times[name].append(time.process_time() - begin)
                assert ids == answer["ids"], (name, ids, answer["ids"])
        for name, seconds in times.items():
            median = statistics.median(seconds)
            print(f"| {pathlib.Path(path).name} | {size:.2f} | {answer['ids']} | {name} | {size / median:.1f} | "
                  f"{answer['ids'] / median / 1e6:.2f} |")


main()

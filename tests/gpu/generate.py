"""Generation on real GPUs, through `zt run --task predict`.

usage: generate.py ZT WORK_DIR RANKS [PART[,PART...]]     parts: tokens speed  (default: both, about 70 s and 50 s)
  tokens  a small model is trained on one GPU; its greedy texts after 50 prompts in fp32 are the same on the CPU, on one
          GPU and on RANKS GPUs with stage 3, and in other batches; in bf16 most of each text agrees with fp32, and the
          texts of RANKS GPUs equal those of one. With transformers installed also: its texts in fp32.
  speed   tokens/s and planned memory of the Qwen3-0.6B shape with random weights in bf16: 1 prompt, 8 and as many as the
          automatic choice takes at once.
Exits with 1 when texts differ that must not.
"""

import json
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gate  # noqa: E402  (the model and data of the other GPU tests)

EXAMPLE = gate.EXAMPLE
NEW_TOKENS = 48
BF16_SHARE = 0.5  # of a text's characters before the first difference, on average: bf16 changes near ties
FAILED = []


def check(passed, text):
    print(("PASS  " if passed else "FAIL  ") + text, flush=True)
    if not passed:
        FAILED.append(text)


def run(zt, *flags):
    command = [zt, *map(str, flags)]
    begun = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
        raise SystemExit(f"FAIL  zt ended with {done.returncode}: {' '.join(command)}")
    return done.stdout + done.stderr, time.time() - begun


def texts_of(path):
    return [json.loads(line)["completion"] for line in path.read_text(encoding="utf-8").splitlines()]


def predict(zt, work, name, model, prompts, *flags):
    path = work / f"{name}.jsonl"
    log, seconds = run(zt, "run", "--task", "predict", "--model_name_or_path", model, "--prompts_file", prompts,
                       "--predictions_file", path, *flags)
    for line in re.findall(r"predict: (.*)", log):
        print("      " + line, flush=True)
    return texts_of(path), log, seconds


def first_lines(work, count):
    prompts = []
    for path in sorted((EXAMPLE / "train").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines()[:count]:
            prompts.append(json.loads(line)["text"][:24])
    step = len(prompts) // count
    path = work / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": p}) for p in prompts[::step][:count]) + "\n", encoding="utf-8")
    return path


def agreement(texts, others):
    shares = []
    for a, b in zip(texts, others):
        same = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        shares.append(same / max(len(a), len(b), 1))
    return sum(shares) / len(shares)


def transformers_texts(model, prompts):
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        return None
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = []
    for line in prompts.read_text(encoding="utf-8").splitlines():
        ids = tokenizer(json.loads(line)["prompt"], return_tensors="pt")
        out = network.generate(**ids, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)
        texts.append(tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True))
    return texts


def tokens(zt, work, ranks):
    model = work / "tiny"
    run(zt, "train", "--model_name_or_path", EXAMPLE, "--from_scratch", "--train_file_dir", EXAMPLE / "train",
        "--output_dir", model, "--overwrite_output_dir", "--block_size", 128, "--per_device_train_batch_size", 16,
        "--max_steps", 1200, "--learning_rate", "2e-3", "--save_strategy", "no", "--logging_steps", 100, "--nproc", 1)
    prompts = first_lines(work, 50)
    common = ("--max_new_tokens", NEW_TOKENS)
    base, _, _ = predict(zt, work, "cpu", model, prompts, "--use_cpu", "True", "--nproc", 1, *common)
    kinds = len({c for text in base for c in text})
    check(kinds > 60, f"the texts are varied: {kinds} different characters in {len(base)} texts")
    one = ("--nproc", 1, *common)
    many = ("--nproc", ranks, "--zero_stage", 3, *common)
    for name, flags in {"one GPU, one prompt at once": (*one, "--generation_batch_size", 1), "one GPU, all at once": one,
                        f"{ranks} GPUs, stage 3": many}.items():
        got, _, _ = predict(zt, work, "gpu", model, prompts, *flags)
        wrong = sum(a != b for a, b in zip(base, got))
        check(wrong == 0, f"fp32, {name}: {len(got) - wrong} of {len(base)} texts are the CPU's")
    half, _, _ = predict(zt, work, "bf16", model, prompts, "--bf16", *one, "--generation_batch_size", 8)
    share = agreement(base, half)
    check(share >= BF16_SHARE, f"bf16 on one GPU: {share:.0%} of each text before the first difference from fp32")
    again, _, _ = predict(zt, work, "bf16-many", model, prompts, "--bf16", *many, "--generation_batch_size", 8)
    check(again == half, f"bf16 on {ranks} GPUs: the texts of one GPU")
    theirs = transformers_texts(model, prompts)
    if theirs is None:
        print("SKIP  transformers is not installed here")
    else:
        wrong = sum(a != b for a, b in zip(base, theirs))
        check(wrong == 0, f"transformers in fp32: {len(base) - wrong} of {len(base)} texts are the same")


def speed(zt, work, _ranks):
    shape = gate.make_model(work / "shape", 1024, 28, 16, 8, 3072, True)
    model = work / "weights"
    run(zt, "train", "--model_name_or_path", shape, "--from_scratch", "--train_file_dir", gate.make_data(work / "data", 40),
        "--output_dir", model, "--overwrite_output_dir", "--block_size", gate.BLOCK, "--per_device_train_batch_size", 1,
        "--max_steps", 1, "--bf16", "--save_strategy", "no", "--nproc", 1)
    prompts = first_lines(work, 64)
    for batch in (1, 8, "auto"):
        size = () if batch == "auto" else ("--generation_batch_size", batch)
        _, log, seconds = predict(zt, work, "speed", model, prompts, "--nproc", 1, "--bf16", "--max_new_tokens", 128, *size)
        rate = re.search(r"([\d.]+) tokens/s", log)
        print(f"      {batch} at once: {rate[1] if rate else '?'} tokens/s, {seconds:.1f} s in all", flush=True)


def main():
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    zt, work, ranks = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    work.mkdir(parents=True, exist_ok=True)
    parts = {"tokens": tokens, "speed": speed}
    for part in (sys.argv[4] if len(sys.argv) > 4 else "tokens,speed").split(","):
        print(f"== {part}", flush=True)
        parts[part](zt, work, ranks)
    print(f"{len(FAILED)} problems")
    sys.exit(1 if FAILED else 0)


if __name__ == "__main__":
    main()

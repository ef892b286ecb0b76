#!/usr/bin/env python3
"""`zt train` with two ranks and ZeRO-2: its files, and the saved model as transformers reads it."""

import json
import math

import _peer
from _checks import Checks


def train_flags(root, output):
    return ["train", "--use_cpu", "--nproc", 2, "--model_name_or_path", root / "model", "--train_file_dir",
            _peer.EXAMPLE / "train", "--validation_file_dir", _peer.EXAMPLE / "valid", "--output_dir", output, "--do_train",
            "--do_eval", "--block_size", _peer.BLOCK, "--per_device_train_batch_size", 2,
            "--gradient_accumulation_steps", 2, "--max_steps", 6, "--learning_rate", 1e-3, "--warmup_steps", 2,
            "--eval_strategy", "steps", "--eval_steps", 3, "--logging_steps", 2,
            "--deepspeed", '{"zero_optimization": {"stage": 2}}']


def check_metrics(checks, output):
    records = _peer.metrics(output)
    keys = {"step", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "tokens_per_second", "peak_memory",
            "skipped"}
    checks.check(len(records) == 6, f"metrics.jsonl has one object per step: {len(records)}")
    checks.check(all(set(r) == keys for r in records), "every record has the documented keys")
    checks.check([r["step"] for r in records] == [1, 2, 3, 4, 5, 6], "steps count from 1")
    checks.check(all(r["tokens"] == 2 * 2 * 2 * _peer.BLOCK for r in records), "tokens count all ranks")
    checks.check(records[0]["learning_rate"] == 0 and records[2]["learning_rate"] == 1e-3,
                 "the learning rate is the one the step used")
    checks.check(all(not r["skipped"] and math.isfinite(r["loss"]) and r["grad_norm"] > 0 for r in records),
                 "all steps are finite and applied")
    checks.check(records[-1]["loss"] < records[0]["loss"], "the loss falls")


def check_console(checks, done):
    text = done.stdout + done.stderr
    checks.check("ZeRO stage" in text and "2 per rank x 2 accumulation x 2 ranks" in text,
                 "the summary names stage and batch")
    lines = [line for line in done.stdout.splitlines() if line.startswith("step ")]
    checks.check([line.split()[1] for line in lines] == ["2/6", "4/6", "6/6"],
                 "without a terminal there is a plain line every logging_steps")
    checks.check("step 3: eval_loss" in text, "an evaluation ran at step 3")
    checks.check("planned" in text and "actual" in text, "planned and actual memory are compared")


def check_saved_model(checks, root, output):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    network, info = AutoModelForCausalLM.from_pretrained(output, output_loading_info=True)
    unwanted = {key: value for key, value in info.items() if value}
    checks.check(not unwanted, f"the saved folder loads without missing or unexpected keys: {unwanted}")
    results = json.loads((output / "eval_results.json").read_text())
    expected = _peer.eval_loss(network.eval(), _peer.blocks(root / "model", _peer.EXAMPLE / "valid"))
    difference = abs(results["eval_loss"] - expected)
    checks.check(difference < 1e-5, f"eval_loss {results['eval_loss']:.7f} equals transformers' {expected:.7f}")
    checks.check(math.isclose(results["perplexity"], math.exp(results["eval_loss"]), rel_tol=1e-12),
                 "perplexity is exp(eval_loss)")
    checks.check(list(results) == sorted(results) and set(results) == {
        "epoch", "eval_loss", "eval_runtime", "eval_samples", "eval_samples_per_second",
        "eval_steps_per_second", "perplexity"}, "eval_results.json has the keys of Hugging Face, sorted")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        checks.check((output / name).read_bytes() == (root / "model" / name).read_bytes(),
                     f"{name} is a byte-for-byte copy")
    checks.check(AutoTokenizer.from_pretrained(output).eos_token is not None, "the tokenizer loads")


def check_refusals(checks, root, output):
    done = _peer.run_zt(*train_flags(root, output), expect=2)
    checks.check("--overwrite_output_dir" in done.stderr, "a used output folder is refused")
    wrong = ["--learning_rte", "1", "--bf16", "perhaps"]
    done = _peer.run_zt(*train_flags(root, root / "other"), *wrong, expect=2)
    checks.check("learning_rate" in done.stderr and "perhaps" in done.stderr, "all problems are listed together")
    checks.check(not (root / "other").exists(), "a refused run leaves nothing behind")


def main():
    with Checks.in_folder("e2e") as (checks, root):
        _peer.make_model(root / "model")
        output = root / "out"
        done = _peer.run_zt(*train_flags(root, output))
        check_metrics(checks, output)
        check_console(checks, done)
        check_saved_model(checks, root, output)
        check_refusals(checks, root, output)


if __name__ == "__main__":
    main()

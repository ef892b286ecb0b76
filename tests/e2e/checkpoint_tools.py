#!/usr/bin/env python3
"""`zt ckpt` as users run it: conversions between Hugging Face, native and DeepSpeed and back are exact, transformers
loads what was written with no missing or unexpected key, damage is found, exit codes are as documented.

Uses ZT_BINARY (default ./zt).
"""

import os
import pathlib
import random
import subprocess

import _tiny_model as tiny
from _checks import Checks

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))


def ckpt(*arguments):
    return subprocess.run([ZT, "ckpt", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


def expect(checks, name, code, *arguments, words=()):
    result = ckpt(*arguments)
    text = result.stdout + result.stderr
    checks.check(result.returncode == code and all(word in text for word in words), name, result)
    return result.stdout


def loads(checks, name, folder):
    """Weights by name, loaded by transformers; a missing or unexpected key fails."""
    import transformers
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    wrong = {key: value for key, value in info.items() if value and key.endswith(("_keys", "msgs"))}
    checks.check(not wrong, name, wrong)
    return {key: value.float() for key, value in model.state_dict().items()}


def flips(checks, native):
    """One changed byte in every file: all are found."""
    chosen = random.Random(3)
    for path in sorted(p for p in native.rglob("*") if p.is_file()):
        good = path.read_bytes()
        at = chosen.randrange(len(good))
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << chosen.randrange(8))]) + good[at + 1:])
        result = ckpt("verify", native)
        checks.check(result.returncode == 3 and path.name in result.stdout, f"a flipped byte of {path.name} at {at} is found", result)
        path.write_bytes(good)
    expect(checks, "the undamaged checkpoint is whole", 0, "verify", native, words=["whole"])


def main():
    with Checks.in_folder("ckpt_tools") as (checks, work):
        tiny.make(work)
        (work / "model").rename(work / "hf")
        expect(checks, "Hugging Face to native", 0, "convert", work / "hf", work / "out", "--to", "native")
        native = work / "out" / "checkpoint-0"
        expect(checks, "native equals its source", 0, "diff", work / "hf", native, words=["24 tensors compared: equal"])
        expect(checks, "inspect names format and dtype", 0, "inspect", work / "out", words=["native", "fp32", "checkpoint-0"])
        flips(checks, native)
        for stage in "123":
            target = work / f"ds{stage}"
            expect(checks, f"native to DeepSpeed stage {stage}", 0, "convert", native, target, "--to", "deepspeed", "--stage",
                   stage, "--world_size", "3")
            expect(checks, f"DeepSpeed stage {stage} is whole", 0, "verify", target, words=["whole"])
            expect(checks, f"DeepSpeed stage {stage} to Hugging Face", 0, "merge", target, work / f"back{stage}", "--model",
                   work / "hf")
            expect(checks, f"there and back at stage {stage} is equal", 0, "diff", work / "hf", work / f"back{stage}",
                   words=["equal"])
        expect(checks, "bf16 in shards", 0, "convert", native, work / "bf16", "--to", "hf", "--dtype", "bf16", "--shard_size",
               "20kB")
        expect(checks, "diff sees the rounding", 1, "diff", work / "hf", work / "bf16", words=["elements differ", "different"])
        expect(checks, "an occupied target is refused", 2, "merge", native, work / "bf16", words=["not empty"])
        expect(checks, "a folder without checkpoint is refused", 3, "inspect", work, words=["holds no checkpoint"])
        checks.check(not [p for p in work.iterdir() if p.name.startswith(".")], "no temporary folder is left")
        reference = loads(checks, "transformers loads the source", work / "hf")
        for folder in (native, work / "back2", work / "bf16"):
            loaded = loads(checks, f"transformers loads {folder.name}", folder)
            exact = folder.name != "bf16"
            checks.check(loaded.keys() == reference.keys() and all(
                (value == reference[key]).all() if exact else abs(value - reference[key]).max() <= 2**-8 *
                abs(reference[key]).max() for key, value in loaded.items()), f"values of {folder.name}")


if __name__ == "__main__":
    main()
